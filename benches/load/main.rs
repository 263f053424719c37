//! `batchmap serve` under load: many executions of a map at once, each followed by a client of its own that asks as
//! flytekit does. Server and emulator are processes of their own, so that the server's memory is its own; children are
//! simulated and leave nothing, so the mapped task has no outputs.
//!
//! `LOAD_EXECUTIONS`, `LOAD_CHILDREN` and `LOAD_POLL_MS` set another size. Beside it a bare SDK loop submits the same
//! arrays to the same emulator and polls them.

mod bare;
mod client;
mod place;
mod table;
mod workflow;

use std::time::{Duration, Instant};

use place::{Emulator, Server};
use table::Latencies;

/// What is run.
struct Size {
    executions: usize,
    children: usize,
    /// Between two looks of one client.
    poll: Duration,
}

impl Size {
    fn given() -> Size {
        let number = |name: &str, otherwise: usize| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}: give a number")),
            Err(_) => otherwise,
        };
        Size {
            executions: number("LOAD_EXECUTIONS", 200),
            children: number("LOAD_CHILDREN", 100),
            poll: Duration::from_millis(number("LOAD_POLL_MS", 1000) as u64),
        }
    }
}

#[tokio::main]
async fn main() {
    let size = Size::given();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let emulator = Emulator::start(folder.path());
    let bare = bare::run(emulator.url(), &size).await;
    println!(
        "bare SDK loop: {} arrays of {} in {:.1} s, {} DescribeJobs",
        size.executions,
        size.children,
        bare.took.as_secs_f64(),
        bare.describes
    );
    let server = Server::start(folder.path(), emulator.url());
    let idle = server.status();
    client::register(server.address(), size.children).await;
    let calls_before = server.metrics().await;
    let began = Instant::now();
    let latencies = follow_all(&server, &size).await;
    let took = began.elapsed();
    let (calls, end) = (server.metrics().await, server.status());
    println!(
        "\nbatchmap serve: {} executions of {} children, a client each, looking every {:?}: {:.1} s, {:.2} x the bare loop",
        size.executions,
        size.children,
        size.poll,
        took.as_secs_f64(),
        took.as_secs_f64() / bare.took.as_secs_f64()
    );
    table::latencies(&latencies, took);
    table::calls(&calls_before, &calls, took);
    println!(
        "memory: {:.1} MB idle, {:.1} MB at most, {:.1} MB at the end; CPU {:.1} s ({:.0} % of one core)",
        idle.resident_mb,
        end.highest_mb,
        end.resident_mb,
        end.cpu.as_secs_f64(),
        end.cpu.as_secs_f64() * 100.0 / took.as_secs_f64()
    );
    // Nothing is remembered without bound: the same once more may not cost as much again.
    let again = follow_all(&server, &size).await;
    let after = server.status();
    println!(
        "the same again: GetExecution p50 {:.1} ms; memory {:.1} MB at most, {:.1} MB at the end",
        again.percentile("GetExecution", 50.0),
        after.highest_mb,
        after.resident_mb
    );
}

/// Every execution by a client of its own, all at once.
async fn follow_all(server: &Server, size: &Size) -> Latencies {
    let clients = (0..size.executions).map(|_| tokio::spawn(client::follow(server.address().to_owned(), size.poll)));
    let mut latencies = Latencies::default();
    for client in clients.collect::<Vec<_>>() {
        latencies.merge(client.await.expect("a client that came to its end"));
    }
    latencies
}
