//! A network that loses one answer: the request arrives and is carried out, and nobody hears of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Forwards to `upstream`; the first request with `pattern` in it loses its answer, by the connection's end.
pub async fn lose_answer(upstream: SocketAddr, pattern: &'static str) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let lost = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        // Dropped with the set, and its connections with it.
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(forward(client, upstream, pattern, Arc::clone(&lost)));
        }
    });
    (url, tasks)
}

async fn forward(mut client: TcpStream, upstream: SocketAddr, pattern: &str, lost: Arc<AtomicBool>) {
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut losing = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(n @ 1..) = read else { return };
                let matches = String::from_utf8_lossy(&asked[..n]).contains(pattern);
                losing = losing || matches && !lost.swap(true, Ordering::Relaxed);
                if server.write_all(&asked[..n]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(n @ 1..) = read else { return };
                if losing || client.write_all(&answered[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}
