//! The processes: an emulator and a server, each killed when it is dropped.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a child takes.
const TIMES: [&str; 3] = ["distribution=uniform", "min=5s", "max=15s"];

struct Process {
    child: Child,
    /// The first line that it prints: where it serves.
    line: String,
}

impl Process {
    fn start(folder: &Path, log: &str, args: &[&str], environment: &[(&str, &str)]) -> Process {
        let log = std::fs::File::create(folder.join(log)).expect("a log file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_batchmap"))
            .args(args)
            .envs(environment.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("batchmap");
        let mut line = String::new();
        let printed = child.stdout.take().expect("it is piped");
        BufReader::new(printed).read_line(&mut line).expect("a line");
        assert!(!line.is_empty(), "{args:?} did not begin");
        Process { child, line: line.trim().to_owned() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Emulator(Process);

impl Emulator {
    pub fn start(folder: &Path) -> Emulator {
        let mut args = vec!["emulator", "--listen", "127.0.0.1:0", "--data", "emulator", "--runner", "none"];
        TIMES.iter().for_each(|time| args.extend(["--simulate", time]));
        Emulator(Process::start(folder, "emulator.log", &args, &[]))
    }

    pub fn url(&self) -> &str {
        &self.0.line
    }
}

pub struct Server(Process);

/// What the system says of a process.
pub struct Status {
    pub resident_mb: f64,
    pub highest_mb: f64,
    pub cpu: Duration,
}

impl Server {
    /// A server that takes the emulator for AWS, so that it polls as it does there.
    pub fn start(folder: &Path, url: &str) -> Server {
        let environment = [
            ("AWS_ENDPOINT_URL", url),
            ("AWS_ACCESS_KEY_ID", "batchmap"),
            ("AWS_SECRET_ACCESS_KEY", "batchmap"),
            ("AWS_REGION", "us-east-1"),
        ];
        let args = ["serve", "--listen", "127.0.0.1:0", "--config", "/dev/null"];
        let args = [&args[..], &["--bucket", "batchmap", "--queue", "batchmap"]].concat();
        Server(Process::start(folder, "server.log", &args, &environment))
    }

    pub fn address(&self) -> &str {
        &self.0.line
    }

    pub fn status(&self) -> Status {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.0.child.id())).expect("procfs");
        let status = read("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
            number.expect("a size in kB") / 1024.0
        };
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
        // The kernel tells times in hundredths of a second, whatever its own clock does.
        let cpu = Duration::from_millis(ticks * 10);
        Status { resident_mb: field("VmRSS:"), highest_mb: field("VmHWM:"), cpu }
    }

    /// The values of `/metrics`, by their series.
    pub async fn metrics(&self) -> BTreeMap<String, f64> {
        let mut stream = TcpStream::connect(self.address()).await.expect("the server");
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address());
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let samples = answer.lines().filter(|line| line.starts_with("batchmap_"));
        let samples = samples.filter_map(|line| line.rsplit_once(' '));
        samples.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?))).collect()
    }
}
