//! Connections after their handshakes. A client that takes its time over one keeps nobody else waiting.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Handshakes at once; further connections wait in the kernel's queue.
const AT_ONCE: usize = 256;

/// How long nothing is accepted after that has failed: mostly for want of file descriptors, which come back.
const PAUSE: Duration = Duration::from_secs(1);

type Accepted = (TlsStream<TcpStream>, SocketAddr);

/// A listener whose connections speak TLS.
pub(in crate::service) struct TlsListener {
    accepted: mpsc::Receiver<Accepted>,
    addr: SocketAddr,
    accepting: AbortHandle,
}

impl TlsListener {
    /// Begins to accept.
    pub(in crate::service) fn new(listener: TcpListener, addr: SocketAddr, config: Arc<ServerConfig>) -> Self {
        let (send, accepted) = mpsc::channel(1);
        let accepting = tokio::spawn(accept_all(listener, TlsAcceptor::from(config), send)).abort_handle();
        TlsListener { accepted, addr, accepting }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Accepted {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            // The accepting task ends with this listener alone.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept_all(listener: TcpListener, acceptor: TlsAcceptor, send: mpsc::Sender<Accepted>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, addr)) => drop(tokio::spawn(greet(stream, addr, acceptor.clone(), send.clone(), place))),
            Err(error) => {
                // One that has gone before it was accepted is nobody's trouble.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    tracing::error!(%error, "cannot accept connections for now");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn greet(
    stream: TcpStream,
    addr: SocketAddr,
    acceptor: TlsAcceptor,
    send: mpsc::Sender<Accepted>,
    place: OwnedSemaphorePermit,
) {
    // As without TLS: an answer is more than one write.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is slower than it need be");
    }
    match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        // Whoever is stopped meanwhile has no use for it.
        Ok(Ok(stream)) => drop(send.send((stream, addr)).await),
        Ok(Err(error)) => tracing::debug!(%addr, %error, "a connection without a TLS handshake"),
        Err(_) => tracing::debug!(%addr, "a TLS handshake took too long"),
    }
    drop(place);
}
