//! The `aws-chunked` encoding of request bodies, by which SDKs send a checksum after the data.
//!
//! ```text
//! <size in hex>[;chunk-signature=...] CR LF <data> CR LF ... 0[;...] CR LF <trailer: value> CR LF ... CR LF
//! ```
//!
//! Signatures are not looked at: this endpoint takes any credentials.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes, BytesMut};

/// The longest line taken: a size with its signature, or a trailer.
const LINE: usize = 8 * 1024;

/// Trailers of one body: names in small letters, known when the body has ended. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Trailers(Arc<Mutex<Vec<(String, String)>>>);

impl Trailers {
    /// The value of a trailer.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())
    }

    fn add(&self, line: &str) -> Result<(), Malformed> {
        let (name, value) = line.split_once(':').ok_or(Malformed("a trailer has no colon"))?;
        let pair = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pair);
        Ok(())
    }
}

/// A body that is not in this encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the aws-chunked body is malformed: {0}")]
pub(super) struct Malformed(&'static str);

#[derive(Debug)]
enum Next {
    /// A chunk's size.
    Size,
    /// So many more bytes of data.
    Data(u64),
    /// The line break after a chunk's data.
    Break,
    /// A trailer, or the empty line that ends it all.
    Trailer,
    /// Nothing.
    End,
}

/// Decodes a body piece by piece.
#[derive(Debug)]
pub(super) struct Decoder {
    next: Next,
    held: BytesMut,
    trailers: Trailers,
}

impl Decoder {
    pub(super) fn new(trailers: Trailers) -> Self {
        Decoder { next: Next::Size, held: BytesMut::new(), trailers }
    }

    /// Takes the next piece of the body and returns the data that it completes, which may be empty.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<Bytes, Malformed> {
        self.held.extend_from_slice(piece);
        let mut data = BytesMut::new();
        loop {
            match self.next {
                Next::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.held.len());
                    data.extend_from_slice(&self.held[..here]);
                    self.held.advance(here);
                    let left = left - here as u64;
                    self.next = if left == 0 { Next::Break } else { Next::Data(left) };
                    if left > 0 {
                        return Ok(data.freeze());
                    }
                }
                Next::End if self.held.is_empty() => return Ok(data.freeze()),
                Next::End => return Err(Malformed("there is more after its end")),
                Next::Size | Next::Break | Next::Trailer => {
                    let Some(line) = self.line()? else { return Ok(data.freeze()) };
                    self.next = self.after(&line)?;
                }
            }
        }
    }

    /// Ends the body.
    pub(super) fn finish(&self) -> Result<(), Malformed> {
        match self.next {
            Next::End => Ok(()),
            // Some clients leave out the last empty line.
            Next::Trailer if self.held.is_empty() => Ok(()),
            _ => Err(Malformed("it ends early")),
        }
    }

    fn after(&self, line: &str) -> Result<Next, Malformed> {
        match self.next {
            Next::Break if line.is_empty() => Ok(Next::Size),
            Next::Break => Err(Malformed("a chunk is longer than its size")),
            Next::Trailer if line.is_empty() => Ok(Next::End),
            Next::Trailer => self.trailers.add(line).map(|()| Next::Trailer),
            _ => {
                let digits = line.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(digits, 16).map_err(|_| Malformed("a chunk's size is no hex number"))?;
                Ok(if size == 0 { Next::Trailer } else { Next::Data(size) })
            }
        }
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Result<Option<String>, Malformed> {
        let Some(end) = self.held.iter().position(|byte| *byte == b'\n') else {
            return if self.held.len() > LINE { Err(Malformed("a line is too long")) } else { Ok(None) };
        };
        let line = self.held.split_to(end + 1);
        let line = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap_or(&line);
        String::from_utf8(line.to_vec()).map(Some).map_err(|_| Malformed("a line is not text"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(body: &[u8], piece: usize) -> Result<(Vec<u8>, Trailers), Malformed> {
        let trailers = Trailers::default();
        let mut decoder = Decoder::new(trailers.clone());
        let mut data = Vec::new();
        for piece in body.chunks(piece) {
            data.extend(decoder.feed(piece)?);
        }
        decoder.finish()?;
        Ok((data, trailers))
    }

    #[test]
    fn signed_and_unsigned_bodies_are_decoded() {
        let unsigned = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
        let (data, trailers) = decode(unsigned, 1).unwrap();
        assert_eq!(
            (data.as_slice(), trailers.get("x-amz-checksum-crc32").as_deref()),
            (&b"hello"[..], Some("NhCmhg=="))
        );
        let signed = b"3;chunk-signature=ab\r\na\r\n\r\n2;chunk-signature=cd\r\nbc\r\n0;chunk-signature=ef\r\n\r\n";
        assert_eq!(decode(signed, 7).unwrap().0, b"a\r\nbc");
    }

    #[test]
    fn a_body_that_ends_early_or_late_is_refused() {
        for body in ["", "5\r\nhel", "5\r\nhello\r\n", "5\r\nhello!\r\n0\r\n\r\n", "x\r\n", "0\r\n\r\nmore"] {
            assert!(decode(body.as_bytes(), 3).is_err(), "{body:?}");
        }
        assert!(decode(&[b'1'; LINE * 2], 1000).is_err());
    }

    proptest! {
        #[test]
        fn any_chunks_in_any_pieces_give_the_data(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..6), piece in 1usize..40,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\nx-t: v\r\n\r\n");
            let (data, trailers) = decode(&body, piece).unwrap();
            prop_assert_eq!(data, chunks.concat());
            prop_assert_eq!(trailers.get("x-t"), Some("v".to_owned()));
        }
    }
}
