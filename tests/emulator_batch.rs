//! The Batch endpoint over HTTP, with AWS's own clients and real processes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_batch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::types::{
    ArrayProperties, ContainerOverrides, ContainerProperties, EvaluateOnExit, JobDefinitionType, JobDependency,
    JobDetail, JobStatus, KeyValuePair, KeyValuesPair, ResourceRequirement, ResourceType, RetryAction, RetryStrategy,
    Secret,
};
use batchmap::emulator::batch::model::api::DescribeJobs;
use batchmap::emulator::batch::model::{End, Model, Status};
use batchmap::emulator::batch::{Service, ServiceConfig};
use batchmap::emulator::runner::Runner;
use batchmap::emulator::runner::guardian::GuardianCommand;
use batchmap::emulator::runner::process::{ProcessConfig, ProcessRunner};
use batchmap::emulator::runner::simulated::{SimulatedEnd, SimulatedRunner};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use tempfile::TempDir;

/// An endpoint on a free port, and clients of it.
struct Endpoint {
    service: Arc<Service>,
    batch: aws_sdk_batch::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    url: String,
    server: tokio::task::JoinHandle<()>,
}

fn guardian() -> GuardianCommand {
    GuardianCommand::of(PathBuf::from(env!("CARGO_BIN_EXE_batchmap")))
}

fn processes(cwd: &Path) -> Arc<dyn Runner> {
    processes_under(cwd, guardian())
}

fn processes_under(cwd: &Path, guardian: GuardianCommand) -> Arc<dyn Runner> {
    let environment = vec![("EXTRA".to_owned(), "from the endpoint".to_owned())];
    Arc::new(ProcessRunner::new(ProcessConfig { guardian, cwd: cwd.to_owned(), environment }))
}

fn config(dir: &Path, slots: usize) -> ServiceConfig {
    ServiceConfig::new(dir.join("data"), slots)
}

async fn serve(config: ServiceConfig, runner: Arc<dyn Runner>) -> Endpoint {
    let service = Service::open(config, runner).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = service.router();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let credentials = Credentials::new("key", "secret", None, None, "test");
    let batch = aws_sdk_batch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials.clone())
        .endpoint_url(&url)
        .build();
    let logs = aws_sdk_cloudwatchlogs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials)
        .endpoint_url(&url)
        .build();
    Endpoint {
        service,
        batch: aws_sdk_batch::Client::from_conf(batch),
        logs: aws_sdk_cloudwatchlogs::Client::from_conf(logs),
        url,
        server,
    }
}

impl Endpoint {
    async fn define(&self, command: &[&str]) {
        let need = |kind, value| ResourceRequirement::builder().r#type(kind).value(value).build();
        let container = ContainerProperties::builder()
            .image("none")
            .resource_requirements(need(ResourceType::Vcpu, "1"))
            .resource_requirements(need(ResourceType::Memory, "128"))
            .set_command(Some(command.iter().map(|part| (*part).to_owned()).collect()))
            .build();
        let call = self.batch.register_job_definition().job_definition_name("d").r#type(JobDefinitionType::Container);
        call.container_properties(container).send().await.unwrap();
    }

    async fn submit(&self, size: i32) -> String {
        let mut call = self.batch.submit_job().job_name("j").job_queue("batchmap").job_definition("d");
        if size > 1 {
            call = call.array_properties(ArrayProperties::builder().size(size).build());
        }
        call.send().await.unwrap().job_id.unwrap()
    }

    async fn describe(&self, id: &str) -> JobDetail {
        self.batch.describe_jobs().jobs(id).send().await.unwrap().jobs.unwrap().remove(0)
    }

    /// Waits for the end of a job, by the model, and describes it, by the API.
    async fn ended(&self, id: &str) -> JobDetail {
        within(self.service.until(|model| status(model, id).is_terminal().then_some(()))).await;
        self.describe(id).await
    }

    async fn lines(&self, stream: &str) -> Vec<String> {
        let call = self.logs.get_log_events().log_group_name("/aws/batch/job").log_stream_name(stream);
        let page = call.start_from_head(true).send().await.unwrap();
        page.events.unwrap().into_iter().map(|event| event.message.unwrap()).collect()
    }

    /// The output of a job's last attempt.
    async fn output(&self, id: &str) -> Vec<String> {
        let stream = self.describe(id).await.container.unwrap().log_stream_name.unwrap();
        self.lines(&stream).await
    }

    async fn stop(self) {
        within(self.service.shutdown()).await;
        self.server.abort();
        let _ = self.server.await;
    }
}

fn status(model: &Model, id: &str) -> Status {
    model.describe_jobs(&DescribeJobs { jobs: vec![id.to_owned()] }).unwrap().jobs[0].status
}

/// A test that would hang fails instead.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), future).await.expect("it should have happened by now")
}

/// A named pipe that children hold open for writing: its end says that all of them are gone.
struct Held {
    path: PathBuf,
}

impl Held {
    fn new(dir: &Path) -> Held {
        let path = dir.join("held");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        Held { path }
    }

    /// Reads `count` lines, then hands on what waits for the end.
    async fn read(&self, count: usize) -> (Vec<String>, BufReader<File>) {
        let path = self.path.clone();
        let work = tokio::task::spawn_blocking(move || {
            // Opened for writing as well while the first line is awaited, so that no writer is missed.
            let mut reader = BufReader::new(File::open(&path).unwrap());
            let lines = (0..count).map(|_| line(&mut reader)).collect();
            (lines, reader)
        });
        within(work).await.unwrap()
    }
}

fn line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// Waits until the last writer has gone.
async fn end_of(mut reader: BufReader<File>) {
    let work = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()).unwrap());
    within(work).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_of_processes_with_one_failing() {
    let dir = TempDir::new().unwrap();
    let endpoint = serve(config(dir.path(), 2), processes(dir.path())).await;
    let script = r#"echo "index $AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JOB_ID on $AWS_BATCH_JQ_NAME"; echo oops >&2; [ $AWS_BATCH_JOB_ARRAY_INDEX != 3 ] || exit 9"#;
    endpoint.define(&["sh", "-c", script]).await;
    let id = endpoint.submit(5).await;
    let parent = endpoint.ended(&id).await;
    assert_eq!(parent.status, Some(JobStatus::Failed));
    assert_eq!(parent.status_reason.as_deref(), Some("Array Child Job failed"));
    let array = parent.array_properties.unwrap();
    let summary = array.status_summary.unwrap();
    assert_eq!((array.size, summary.len(), summary["SUCCEEDED"], summary["FAILED"]), (Some(5), 7, 4, 1));
    assert!(array.status_summary_last_updated_at.is_some());
    let failed = endpoint
        .batch
        .list_jobs()
        .array_job_id(&id)
        .job_status(JobStatus::Failed)
        .send()
        .await
        .unwrap()
        .job_summary_list
        .unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].job_id.as_deref(), Some(format!("{id}:3").as_str()));
    assert_eq!(failed[0].container.as_ref().unwrap().exit_code, Some(9));
    let child = endpoint.describe(&format!("{id}:2")).await;
    assert_eq!(child.array_properties.unwrap().index, Some(2));
    assert_eq!(child.attempts.unwrap().len(), 1);
    let output = endpoint.output(&format!("{id}:2")).await;
    assert_eq!(output, [format!("index 2 of {id}:2 on batchmap"), "oops".to_owned()]);
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_by_exit_code_reach_the_third_attempt() {
    let dir = TempDir::new().unwrap();
    let endpoint = serve(config(dir.path(), 2), processes(dir.path())).await;
    endpoint
        .define(&["sh", "-c", "echo attempt $AWS_BATCH_JOB_ATTEMPT; exit $(( AWS_BATCH_JOB_ATTEMPT < 3 ? 75 : 0 ))"])
        .await;
    let rule = |code: Option<&str>, reason: Option<&str>, action| {
        let rule = EvaluateOnExit::builder().action(action);
        rule.set_on_exit_code(code.map(str::to_owned)).set_on_reason(reason.map(str::to_owned)).build()
    };
    let retry = RetryStrategy::builder()
        .attempts(5)
        .evaluate_on_exit(rule(Some("75"), None, RetryAction::Retry))
        .evaluate_on_exit(rule(None, Some("*"), RetryAction::Exit))
        .build();
    let call = endpoint.batch.submit_job().job_name("j").job_queue("batchmap").job_definition("d");
    let id = call.retry_strategy(retry).send().await.unwrap().job_id.unwrap();
    let job = endpoint.ended(&id).await;
    assert_eq!(job.status, Some(JobStatus::Succeeded));
    let attempts = job.attempts.unwrap();
    let containers: Vec<_> = attempts.into_iter().map(|attempt| attempt.container.unwrap()).collect();
    assert_eq!(containers.iter().map(|c| c.exit_code).collect::<Vec<_>>(), [Some(75), Some(75), Some(0)]);
    for (number, container) in (1..).zip(containers) {
        let lines = endpoint.lines(&container.log_stream_name.unwrap()).await;
        assert_eq!(lines, [format!("attempt {number}")], "a stream an attempt");
    }
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminate_ends_what_runs_and_what_waits() {
    let dir = TempDir::new().unwrap();
    let held = Held::new(dir.path());
    let endpoint = serve(config(dir.path(), 2), processes(dir.path())).await;
    // A grandchild holds the pipe as well, and outlives a SIGTERM to its parent alone.
    endpoint.define(&["sh", "-c", "exec 3>held; echo $AWS_BATCH_JOB_ARRAY_INDEX >&3; sleep 1000 & wait"]).await;
    let id = endpoint.submit(6).await;
    let (mut lines, rest) = held.read(2).await;
    lines.sort();
    assert_eq!(lines, ["0", "1"]);
    endpoint.batch.terminate_job().job_id(&id).reason("enough").send().await.unwrap();
    let parent = endpoint.ended(&id).await;
    end_of(rest).await;
    assert_eq!((parent.is_terminated, parent.status_reason.as_deref()), (Some(true), Some("enough")));
    for index in 0..6 {
        let child = endpoint.describe(&format!("{id}:{index}")).await;
        assert_eq!((child.status, child.status_reason.as_deref()), (Some(JobStatus::Failed), Some("enough")));
        assert_eq!(child.attempts.unwrap().len(), usize::from(index < 2), "no child of it started afterwards");
        assert_eq!(child.container.unwrap().exit_code, (index < 2).then_some(143));
    }
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_leaves_behind_is_ended() {
    let dir = TempDir::new().unwrap();
    let held = Held::new(dir.path());
    let endpoint = serve(config(dir.path(), 1), processes(dir.path())).await;
    nix::unistd::mkfifo(&dir.path().join("ready"), Mode::S_IRWXU).unwrap();
    // In a process group of its own (`set -m`), deaf to SIGHUP and SIGTERM, holding the output too.
    endpoint
        .define(&[
            "bash",
            "-c",
            "exec 3>held; set -m; (trap '' HUP TERM; echo left >&3; echo > ready; sleep 1000) & read -r _ < ready; echo done; exit 4",
        ])
        .await;
    let id = endpoint.submit(1).await;
    let (lines, rest) = held.read(1).await;
    assert_eq!(lines, ["left"]);
    end_of(rest).await;
    let job = endpoint.ended(&id).await;
    assert_eq!(job.container.unwrap().exit_code, Some(4));
    assert_eq!(endpoint.output(&id).await, ["done"]);
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fled_into_its_own_session_holds_nothing_up() {
    let dir = TempDir::new().unwrap();
    let endpoint = serve(config(dir.path(), 1), processes(dir.path())).await;
    endpoint.define(&["sh", "-c", "setsid sh -c 'echo $$; exec sleep 1000' & read -r _ < fled; echo over"]).await;
    let fled = dir.path().join("fled");
    nix::unistd::mkfifo(&fled, Mode::S_IRWXU).unwrap();
    let id = endpoint.submit(1).await;
    // Let the child go on only when the fugitive has said its id.
    let stream = within(endpoint.service.until(|model| {
        let request = DescribeJobs { jobs: vec![id.clone()] };
        model.describe_jobs(&request).unwrap().jobs.remove(0).container.last.log_stream_name
    }))
    .await;
    let pid = loop {
        if let Some(line) = endpoint.lines(&stream).await.first() {
            break line.parse::<i32>().unwrap();
        }
        tokio::task::yield_now().await;
    };
    std::fs::write(&fled, "go\n").unwrap();
    let job = endpoint.ended(&id).await;
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert_eq!(job.status, Some(JobStatus::Succeeded));
    assert_eq!(endpoint.output(&id).await, [pid.to_string(), "over".to_owned()]);
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_there_fails_to_start() {
    let dir = TempDir::new().unwrap();
    let endpoint = serve(config(dir.path(), 1), processes(dir.path())).await;
    std::fs::write(dir.path().join("data.txt"), "no program").unwrap();
    for (command, part) in
        [(&["no-such-command", "x"][..], "no-such-command"), (&["./data.txt"], "data.txt"), (&[], "no command")]
    {
        endpoint.define(command).await;
        let id = endpoint.submit(1).await;
        let job = endpoint.ended(&id).await;
        assert_eq!((job.status, job.status_reason.as_deref()), (Some(JobStatus::Failed), Some("Task failed to start")));
        let container = job.attempts.unwrap().remove(0).container.unwrap();
        let reason = container.reason.unwrap();
        assert!(reason.starts_with("CannotStartContainerError: ") && reason.contains(part), "{reason}");
        assert_eq!((container.exit_code, container.log_stream_name), (None, None));
    }
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_clean() {
    let dir = TempDir::new().unwrap();
    let endpoint = serve(config(dir.path(), 1), processes(dir.path())).await;
    endpoint.define(&["sh", "-c", "env; pwd; cat; ps -o pid= -o sid= -p $$ 2>/dev/null || true"]).await;
    let overrides =
        ContainerOverrides::builder().environment(KeyValuePair::builder().name("MINE").value("a=b c").build()).build();
    let call = endpoint.batch.submit_job().job_name("j").job_queue("batchmap").job_definition("d");
    let id = call.container_overrides(overrides).send().await.unwrap().job_id.unwrap();
    endpoint.ended(&id).await;
    let lines = endpoint.output(&id).await;
    let has = |line: &str| lines.iter().any(|other| other == line);
    assert!(has("MINE=a=b c") && has("EXTRA=from the endpoint") && has("AWS_BATCH_JOB_ATTEMPT=1"), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("CARGO") || line.starts_with("AWS_BATCH_JOB_ARRAY_INDEX")));
    let own = std::env::current_exe().unwrap();
    let path = lines.iter().find_map(|line| line.strip_prefix("PATH=")).unwrap();
    assert!(path.starts_with(own.parent().unwrap().to_str().unwrap()), "{path}");
    assert!(has(dir.path().canonicalize().unwrap().to_str().unwrap()));
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_comes_from_the_variable_of_the_same_name_of_the_endpoint() {
    let dir = TempDir::new().unwrap();
    let endpoint = serve(config(dir.path(), 1), processes(dir.path())).await;
    let need = |kind, value| ResourceRequirement::builder().r#type(kind).value(value).build();
    let secret = |name: &str| Secret::builder().name(name).value_from("arn:aws:ssm:us-east-1:1:parameter/x").build();
    let container = ContainerProperties::builder()
        .image("none")
        .resource_requirements(need(ResourceType::Vcpu, "1"))
        .resource_requirements(need(ResourceType::Memory, "128"))
        .set_command(Some(["sh", "-c", "echo ${CARGO_PKG_NAME-none} ${NO_SUCH_SECRET-none}"].map(str::to_owned).into()))
        // Cargo sets it for this test, and it is none of those that every child has.
        .secrets(secret("CARGO_PKG_NAME"))
        .secrets(secret("NO_SUCH_SECRET"))
        .build();
    let call = endpoint.batch.register_job_definition().job_definition_name("d").r#type(JobDefinitionType::Container);
    call.container_properties(container).send().await.unwrap();
    let id = endpoint.submit(1).await;
    endpoint.ended(&id).await;
    assert_eq!(endpoint.output(&id).await, ["batchmap none"]);
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_output_is_kept_and_read_in_pages() {
    let dir = TempDir::new().unwrap();
    let endpoint = serve(config(dir.path(), 1), processes(dir.path())).await;
    endpoint.define(&["sh", "-c", "seq 1 300000; printf end"]).await;
    let id = endpoint.submit(1).await;
    let stream = endpoint.ended(&id).await.container.unwrap().log_stream_name.unwrap();
    let call = || endpoint.logs.get_log_events().log_group_name("/aws/batch/job").log_stream_name(&stream);
    let mut page = call().start_from_head(true).send().await.unwrap();
    let mut seen = Vec::new();
    loop {
        let events = page.events.unwrap();
        assert!(events.len() <= 10_000);
        seen.extend(events.into_iter().map(|event| event.message.unwrap()));
        let token = page.next_forward_token.unwrap();
        page = call().start_from_head(true).next_token(&token).send().await.unwrap();
        if page.next_forward_token.as_deref() == Some(&token) {
            assert_eq!(page.events.unwrap(), []);
            break;
        }
    }
    assert_eq!((seen.len(), seen[0].as_str(), seen[300_000].as_str()), (300_001, "1", "end"));
    assert!(seen[..300_000].iter().enumerate().all(|(place, line)| *line == (place + 1).to_string()));
    let last = call().limit(2).send().await.unwrap();
    let texts: Vec<_> = last.events.unwrap().into_iter().map(|event| event.message.unwrap()).collect();
    assert_eq!(texts, ["300000", "end"]);
    let before = call().limit(1).next_token(last.next_backward_token.unwrap()).send().await.unwrap();
    assert_eq!(before.events.unwrap()[0].message.as_deref(), Some("299999"));
    let filter = endpoint.logs.filter_log_events().log_group_name("/aws/batch/job").log_stream_names(&stream);
    let found = filter.filter_pattern("29999").send().await.unwrap().events.unwrap();
    // 29999, 129999, 229999 and 299990 to 299999.
    assert_eq!(found.len(), 13);
    let missing = endpoint.logs.get_log_events().log_group_name("/aws/batch/job").log_stream_name("d/default/none");
    let error = missing.send().await.unwrap_err();
    assert_eq!(error.code(), Some("ResourceNotFoundException"));
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_words_are_kept() {
    let dir = TempDir::new().unwrap();
    let endpoint = serve(config(dir.path(), 8), processes(dir.path())).await;
    endpoint.define(&["echo", "last words"]).await;
    let id = endpoint.submit(300).await;
    endpoint.ended(&id).await;
    for index in 0..300 {
        assert_eq!(endpoint.output(&format!("{id}:{index}")).await, ["last words"], "of child {index}");
    }
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_pages_at_a_thousand() {
    let dir = TempDir::new().unwrap();
    let runner =
        SimulatedRunner::with(|start| SimulatedEnd { after_ms: 0, end: End::exited((start.attempt.child % 2) as i32) });
    let endpoint = serve(config(dir.path(), 64), Arc::new(runner)).await;
    endpoint.define(&["true"]).await;
    let id = endpoint.submit(3000).await;
    endpoint.ended(&id).await;
    let call = || endpoint.batch.list_jobs().array_job_id(&id).job_status(JobStatus::Failed);
    let first = call().send().await.unwrap();
    assert_eq!(first.job_summary_list.as_ref().unwrap().len(), 1000);
    let second = call().next_token(first.next_token.unwrap()).send().await.unwrap();
    assert_eq!((second.job_summary_list.unwrap().len(), second.next_token), (500, None));
    let mut pages = call().into_paginator().page_size(300).items().send();
    let mut indices = Vec::new();
    while let Some(job) = pages.next().await {
        indices.push(job.unwrap().array_properties.unwrap().index.unwrap());
    }
    assert_eq!(indices, (0..1500).map(|n| 2 * n + 1).collect::<Vec<i32>>());
    let filter = KeyValuesPair::builder().name("JOB_NAME").values("J*").build();
    let named = endpoint.batch.list_jobs().job_queue("batchmap").filters(filter).send().await.unwrap();
    let names: Vec<_> = named.job_summary_list.unwrap().into_iter().map(|job| job.job_id.unwrap()).collect();
    assert_eq!(names, [id]);
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_those_of_aws() {
    let dir = TempDir::new().unwrap();
    let endpoint = serve(config(dir.path(), 1), processes(dir.path())).await;
    let call = || endpoint.batch.submit_job().job_name("j").job_queue("batchmap");
    let error = call().job_definition("nope").send().await.unwrap_err();
    assert_eq!(error.code(), Some("ClientException"));
    assert!(error.message().unwrap().starts_with("Job definition nope does not exist"));
    assert!(error.into_service_error().is_client_exception());
    endpoint.define(&["true"]).await;
    let dependency = JobDependency::builder().job_id("x").build();
    let error = call().job_definition("d").depends_on(dependency).send().await.unwrap_err();
    assert_eq!(error.message(), Some("dependsOn job x does not exist"));
    let error = endpoint.batch.list_service_jobs().send().await.unwrap_err();
    assert_eq!(error.code(), Some("ClientException"));
    assert!(error.message().unwrap().starts_with("ListServiceJobs is not available"));
    let queues = endpoint.batch.describe_job_queues().send().await.unwrap().job_queues.unwrap();
    assert_eq!(queues.len(), 2);
    let environments = endpoint.batch.describe_compute_environments().send().await.unwrap();
    assert_eq!(environments.compute_environments.unwrap().len(), 2);
    // What no client of AWS sends.
    for (path, body, status, kind) in [
        ("/v1/submitjob", "{", 400, "SerializationException"),
        ("/v1/submitjob", r#"{"jobName": 1, "jobQueue": "q", "jobDefinition": "d"}"#, 400, "SerializationException"),
        ("/v1/submitjob", r#"{"jobName": "j"}"#, 400, "ClientException"),
        ("/v1/dance", "{}", 404, "UnknownOperationException"),
    ] {
        let answer = raw(&endpoint.url, path, body).await;
        let head = answer.to_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{answer}");
        assert!(head.contains(&format!("x-amzn-errortype: {}", kind.to_lowercase())), "{answer}");
        assert!(answer.contains("{\"message\":"), "{answer}");
    }
    endpoint.stop().await;
}

/// One request by hand.
async fn raw(url: &str, path: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_still_told_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let held = Held::new(dir.path());
    let endpoint = serve(config(dir.path(), 1), processes(dir.path())).await;
    endpoint.define(&["sh", "-c", "echo hello; exit $AWS_BATCH_JOB_ARRAY_INDEX"]).await;
    let ended = endpoint.submit(2).await;
    endpoint.ended(&ended).await;
    endpoint.define(&["sh", "-c", "exec 3>held; echo up >&3; exec sleep 1000"]).await;
    let running = endpoint.submit(1).await;
    let (_, rest) = held.read(1).await;
    // The process is there before the endpoint has heard of it.
    within(endpoint.service.until(|model| (status(model, &running) == Status::Running).then_some(()))).await;
    assert_eq!(endpoint.service.unfinished(), 1);
    endpoint.stop().await;
    end_of(rest).await;

    // Only reading: nothing is written, nothing runs.
    let files = || {
        let all = std::fs::read_dir(dir.path().join("data/batch")).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = all.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        all.sort();
        all
    };
    let before = files();
    let reading = ServiceConfig { read_only: true, ..config(dir.path(), 1) };
    let endpoint = serve(reading, processes(dir.path())).await;
    let parent = endpoint.describe(&ended).await;
    assert_eq!(parent.array_properties.unwrap().status_summary.unwrap()["FAILED"], 1);
    assert_eq!(endpoint.output(&format!("{ended}:1")).await, ["hello"]);
    assert_eq!(endpoint.describe(&running).await.status, Some(JobStatus::Running));
    let refused = endpoint.batch.terminate_job().job_id(&running).reason("x").send().await.unwrap_err();
    assert!(refused.into_service_error().is_server_exception());
    endpoint.stop().await;
    assert_eq!(files(), before);

    // Opened for work: the one that ran has lost its host.
    let endpoint = serve(config(dir.path(), 1), processes(dir.path())).await;
    let job = endpoint.describe(&running).await;
    assert_eq!(job.status, Some(JobStatus::Failed));
    assert_eq!(job.status_reason.as_deref(), Some("Host EC2 (instance i-0000000000000000) terminated."));
    assert_eq!(endpoint.describe(&format!("{ended}:1")).await.container.unwrap().exit_code, Some(1));
    assert_eq!(endpoint.service.unfinished(), 0);
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_that_died_is_replaced() {
    let dir = TempDir::new().unwrap();
    let script =
        format!("echo $$ > '{}'; exec '{}' guardian", dir.path().join("pid").display(), env!("CARGO_BIN_EXE_batchmap"));
    let guardian = GuardianCommand { program: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] };
    let endpoint = serve(config(dir.path(), 2), processes_under(dir.path(), guardian)).await;
    endpoint.define(&["true"]).await;
    let id = endpoint.submit(2).await;
    assert_eq!(endpoint.ended(&id).await.status, Some(JobStatus::Succeeded));
    let pid = || std::fs::read_to_string(dir.path().join("pid")).unwrap().trim().parse::<i32>().unwrap();
    let first = pid();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    let id = endpoint.submit(4).await;
    assert_eq!(endpoint.ended(&id).await.status, Some(JobStatus::Succeeded));
    assert_ne!(pid(), first);
    endpoint.stop().await;
}

/// The endpoint as a process of its own, for the test below: it runs one job and waits to be killed.
#[test]
#[ignore = "a helper that the next test runs in a process of its own"]
fn helper_endpoint() {
    let Some(dir) = std::env::var_os("BATCHMAP_TEST_ENDPOINT").map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let endpoint = serve(config(&dir, 2), processes(&dir)).await;
        endpoint.define(&["sh", "-c", "exec 3>held; (trap '' HUP TERM; echo $$ >&3; sleep 1000) & sleep 1000"]).await;
        endpoint.submit(2).await;
        std::future::pending::<()>().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn no_child_outlives_an_endpoint_that_is_killed() {
    let dir = TempDir::new().unwrap();
    let held = Held::new(dir.path());
    let mut endpoint = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_endpoint", "--ignored", "--nocapture"])
        .env("BATCHMAP_TEST_ENDPOINT", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (lines, rest) = held.read(2).await;
    assert_eq!(lines.len(), 2);
    endpoint.kill().unwrap();
    endpoint.wait().unwrap();
    // Children and grandchildren held the pipe.
    end_of(rest).await;

    let reopened = serve(config(dir.path(), 2), processes(dir.path())).await;
    let failed = reopened.batch.list_jobs().job_queue("batchmap").job_status(JobStatus::Failed).send().await.unwrap();
    let id = failed.job_summary_list.unwrap()[0].job_id.clone().unwrap();
    let child = reopened.describe(&format!("{id}:1")).await;
    assert_eq!(child.attempts.unwrap()[0].status_reason.as_deref(), child.status_reason.as_deref());
    assert!(child.status_reason.unwrap().starts_with("Host EC2 (instance i-"));
    reopened.stop().await;
}
