//! Connections that cannot hold the endpoint: how long a client may take, and how many there may be.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

/// What a client may take of the endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a request's head, from the connection's beginning or the end of the request before: so also the longest that
    /// a kept connection idles. Longer than the AWS SDKs keep an unused connection, so that it is they who end it.
    pub head: Duration,
    /// Without a byte of a body that is awaited.
    pub body: Duration,
    /// Without taking a byte of an answer that is ready.
    pub answer: Duration,
    /// Bytes of a request's head; more is answered with 431.
    pub head_bytes: usize,
    /// Connections at once. One more ends the oldest: at once when it idles, else after its request.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: Duration::from_secs(100),
            body: Duration::from_secs(60),
            answer: Duration::from_secs(60),
            head_bytes: 64 * 1024,
            connections: connections(),
        }
    }
}

/// Half of the files that this process may open: objects and children need some too.
fn connections() -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(files / 2).unwrap_or(usize::MAX).clamp(16, 4096)
}

/// The connections there are, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Open(VecDeque<(CancellationToken, CancellationToken)>);

impl Open {
    /// Takes in a connection: the token that tells it to end, and what it must drop when it has.
    pub(super) fn enter(&mut self, most: usize, stopping: &CancellationToken) -> (CancellationToken, Ended) {
        let (end, ended) = (stopping.child_token(), CancellationToken::new());
        if self.0.len() >= most {
            self.0.retain(|(_, ended)| !ended.is_cancelled());
        }
        if self.0.len() >= most
            && let Some((oldest, _)) = self.0.pop_front()
        {
            oldest.cancel();
        }
        self.0.push_back((end.clone(), ended.clone()));
        (end, Ended(ended))
    }
}

/// Says, when dropped, that its connection has ended.
#[derive(Debug)]
pub(super) struct Ended(CancellationToken);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A connection whose writes fail when the other side takes nothing for too long.
pub(super) struct Patient {
    stream: TcpStream,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Self {
        Patient { stream, patience, waiting: None }
    }

    /// Holds what a write came to against the time it has been waiting.
    fn written<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.waiting = None;
            return write;
        }
        let until = Instant::now() + self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no answer"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, data);
        self.written(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.written(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, shutdown)
    }
}

/// A body that fails, with [`io::ErrorKind::TimedOut`], when nothing of it comes for too long.
pub(super) fn impatient(body: Body, patience: Duration) -> Body {
    use axum::body::HttpBody;
    if body.is_end_stream() {
        return body;
    }
    let pieces = futures::stream::unfold(Some(body.into_data_stream()), move |pieces| async move {
        let mut pieces = pieces?;
        tokio::select! {
            biased;
            piece = pieces.next() => piece.map(|piece| (piece.map_err(io::Error::other), Some(pieces))),
            () = sleep(patience) => {
                let late = io::Error::new(io::ErrorKind::TimedOut, "nothing of the request's body came for too long");
                Some((Err(late), None))
            }
        }
    });
    Body::from_stream(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_too_many_ends_the_oldest_that_is_still_there() {
        let stopping = CancellationToken::new();
        let mut open = Open::default();
        let (first, first_ended) = open.enter(2, &stopping);
        let (second, _second_ended) = open.enter(2, &stopping);
        drop(first_ended);
        let (third, _third_ended) = open.enter(2, &stopping);
        assert!(!first.is_cancelled() && !second.is_cancelled());
        let (_fourth, _fourth_ended) = open.enter(2, &stopping);
        assert!(second.is_cancelled() && !third.is_cancelled());
        stopping.cancel();
        assert!(third.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_fails() {
        let stalled = futures::stream::iter([Ok::<_, io::Error>("begun")]).chain(futures::stream::pending());
        let mut pieces = impatient(Body::from_stream(stalled), Duration::from_secs(60)).into_data_stream();
        assert_eq!(pieces.next().await.unwrap().unwrap(), "begun");
        assert!(pieces.next().await.unwrap().unwrap_err().to_string().contains("too long"));
        assert!(pieces.next().await.is_none());
    }
}
