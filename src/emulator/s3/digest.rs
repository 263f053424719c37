//! The digests of an object: MD5 for its ETag, and the checksums that clients send and ask back.

use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use serde::{Deserialize, Serialize};

/// A checksum algorithm of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(super) const ALL: [Algorithm; 5] =
        [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64nvme, Algorithm::Sha1, Algorithm::Sha256];

    /// The header or trailer that carries it.
    pub(super) const fn header(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "x-amz-checksum-crc32",
            Algorithm::Crc32c => "x-amz-checksum-crc32c",
            Algorithm::Crc64nvme => "x-amz-checksum-crc64nvme",
            Algorithm::Sha1 => "x-amz-checksum-sha1",
            Algorithm::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The name in `x-amz-checksum-algorithm`, in any case of letters.
    pub(super) fn named(name: &str) -> Option<Algorithm> {
        Self::ALL.into_iter().find(|a| name.eq_ignore_ascii_case(a.name()))
    }

    /// Its name in the API.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64nvme => "CRC64NVME",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
        }
    }
}

impl Algorithm {
    /// Bytes of its values.
    pub(super) const fn length(self) -> usize {
        match self {
            Algorithm::Crc32 | Algorithm::Crc32c => 4,
            Algorithm::Crc64nvme => 8,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
        }
    }

    /// Whether the checksum of an upload in parts is, unless the client says otherwise, made of those of the parts.
    pub(super) const fn is_composite_by_default(self) -> bool {
        !matches!(self, Algorithm::Crc64nvme)
    }
}

/// A checksum's algorithm and its value in base64.
pub(super) type Checksum = (Algorithm, String);

/// The checksum of some bytes, in base64.
pub(super) fn checksum(algorithm: Algorithm, data: &[u8]) -> String {
    let mut digester = Digester::new(Some(algorithm));
    digester.update(data);
    digester.finish().1.map(|(_, value)| value).unwrap_or_default()
}

/// Digests under computation.
pub(super) struct Digester {
    md5: Md5,
    algorithm: Option<Algorithm>,
    hasher: ChecksumHasher,
    payload: Option<Sha256>,
}

impl Digester {
    /// MD5 and, when given, one checksum. S3 takes no more than one an object.
    pub(super) fn new(algorithm: Option<Algorithm>) -> Self {
        let mut hasher = ChecksumHasher::default();
        match algorithm {
            None => {}
            Some(Algorithm::Crc32) => hasher.crc32 = Some(Crc32::new()),
            Some(Algorithm::Crc32c) => hasher.crc32c = Some(Crc32c::new()),
            Some(Algorithm::Crc64nvme) => hasher.crc64nvme = Some(Crc64Nvme::new()),
            Some(Algorithm::Sha1) => hasher.sha1 = Some(Sha1::new()),
            Some(Algorithm::Sha256) => hasher.sha256 = Some(Sha256::new()),
        }
        Digester { md5: Md5::new(), algorithm, hasher, payload: None }
    }

    /// Computes the SHA-256 that a signature covers, too.
    pub(super) fn with_payload(mut self) -> Self {
        self.payload = Some(Sha256::new());
        self
    }

    /// The SHA-256 so far, in hexadecimal digits, if it was asked for. It is not computed further.
    pub(super) fn payload(&mut self) -> Option<String> {
        self.payload.take().map(|payload| hex(payload.finalize().as_ref()))
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        if let Some(payload) = &mut self.payload {
            payload.update(data);
        }
        self.md5.update(data);
        self.hasher.update(data);
    }

    /// The MD5's bytes, and the checksum asked for.
    pub(super) fn finish(self) -> (Vec<u8>, Option<Checksum>) {
        let sums = self.hasher.finalize();
        let value = sums
            .checksum_crc32
            .or(sums.checksum_crc32c)
            .or(sums.checksum_crc64nvme)
            .or(sums.checksum_sha1)
            .or(sums.checksum_sha256);
        (self.md5.finalize().as_ref().to_vec(), self.algorithm.zip(value))
    }
}

/// MD5 of `data`.
pub(super) fn md5(data: &[u8]) -> Vec<u8> {
    Md5::checksum(data).as_ref().to_vec()
}

/// Bytes in small hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes in base64, padded: the form of Content-MD5.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (i, byte)| bits | u32::from(*byte) << (16 - 8 * i));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// The bytes of padded base64; `None` for any other text.
pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let bytes = text.as_bytes();
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    if !bytes.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut decoded = Vec::with_capacity(bytes.len() / 4 * 3);
    for group in bytes[..bytes.len() - padding].chunks(4) {
        let mut bits = 0u32;
        for (i, byte) in group.iter().enumerate() {
            bits |= u32::from(digit(*byte)?) << (18 - 6 * i);
        }
        decoded.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_back() {
        for data in ["", "f", "fo", "foo", "foob", "\u{ff}\u{0}\u{fe}"] {
            assert_eq!(unbase64(&base64(data.as_bytes())).as_deref(), Some(data.as_bytes()));
        }
        for bad in ["Z", "Zg", "Zg=", "Z===", "Zm9v!", "====", "Zg==Zg=="] {
            assert_eq!(unbase64(bad), None, "{bad}");
        }
    }

    #[test]
    fn base64_and_hex_of_known_values() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|s| base64(s.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
        assert_eq!(hex(&md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn every_algorithm_yields_its_own_checksum() {
        let of = |algorithm| {
            let mut digester = Digester::new(Some(algorithm));
            digester.update(b"123456789");
            digester.finish().1
        };
        // The published check values of the CRCs.
        assert_eq!(of(Algorithm::Crc32), Some((Algorithm::Crc32, base64(&0xcbf4_3926_u32.to_be_bytes()))));
        assert_eq!(of(Algorithm::Crc32c), Some((Algorithm::Crc32c, base64(&0xe306_9283_u32.to_be_bytes()))));
        for algorithm in Algorithm::ALL {
            assert_eq!(of(algorithm).map(|(a, _)| a), Some(algorithm));
            assert_eq!(Algorithm::named(&algorithm.name().to_lowercase()), Some(algorithm));
        }
        assert_eq!(Digester::new(None).finish().1, None);
    }
}
