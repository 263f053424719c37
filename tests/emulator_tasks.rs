//! What a runner of local processes makes of a task with several containers.

use std::path::PathBuf;
use std::time::Duration;

use batchmap::emulator::batch::model::{AttemptKey, End, Settings, Start, TaskContainer};
use batchmap::emulator::logs::LogStore;
use batchmap::emulator::runner::guardian::GuardianCommand;
use batchmap::emulator::runner::process::{ProcessConfig, ProcessRunner};
use batchmap::emulator::runner::{Host, Report, Runner};

#[tokio::test]
async fn a_local_process_is_one_container() {
    let dir = tempfile::tempdir().unwrap();
    let guardian = GuardianCommand::of(PathBuf::from(env!("CARGO_BIN_EXE_batchmap")));
    let runner = ProcessRunner::new(ProcessConfig { guardian, cwd: dir.path().to_owned(), environment: Vec::new() });
    let (reports, mut received) = tokio::sync::mpsc::unbounded_channel();
    runner.attach(Host { reports, logs: LogStore::new(dir.path().join("logs")) }).unwrap();
    let container = |name: &str| TaskContainer { name: name.to_owned(), ..TaskContainer::default() };
    let attempt = AttemptKey { job: 0, child: 0, attempt: 1 };
    runner.start(Start {
        attempt,
        job_id: "j".to_owned(),
        job_name: "n".to_owned(),
        image: None,
        command: vec!["true".to_owned()],
        environment: Vec::new(),
        secrets: Vec::new(),
        resources: Vec::new(),
        log_stream: "s".to_owned(),
        settings: Settings::default(),
        containers: vec![container("setup"), container("main")],
    });
    let report = tokio::time::timeout(Duration::from_secs(60), received.recv()).await.unwrap().unwrap();
    let Report::Ended(ended, End::StartFailed { reason }) = report else { panic!("{report:?}") };
    assert_eq!(ended, attempt);
    assert!(reason.starts_with("CannotStartContainerError: ") && reason.contains("setup, main"), "{reason}");
    runner.shutdown().await;
}
