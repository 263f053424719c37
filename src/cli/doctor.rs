//! `batchmap doctor`.
//!
//! ```text
//! configuration ─► credentials, identity ─► bucket ─► objects ─► queues and what they run on ─► log group
//!   ─► job definition ─► a map of one element, its output and its log ─► what cannot be seen
//! ```
//! Every step says what it found and, where something is wrong, what to do about it. What needs a step that failed is
//! not looked at, and said not to have been.

mod finding;
mod probe;
mod queues;
mod storage;

use std::time::Duration;

use self::finding::Report;
use super::config::TargetArgs;
use super::session::{Access, Session};
use super::status::Form;
use super::task_args::TaskArgs;
use super::{Exit, Failure, words};
use crate::aws::account::AccountError;
use crate::aws::target::{Setting, Target};
use crate::map::task::MapTask;
use crate::run::now_ms;

/// Credentials that expire sooner are worth a word: a map may take hours.
const SOON: Duration = Duration::from_secs(60 * 60);

const HELP: &str = "\
It writes and removes an object and, unless --no-job, runs a map of one element and removes it. A job definition that it
registers stays, for `run` uses it too.

Exit codes: 0 nothing failed; 1 the probe job did; 2 the configuration names what is not there or takes no jobs; 4 AWS refuses
or cannot be reached; 5 the machine failed. The first failure decides.";

/// Arguments of `batchmap doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct DoctorArgs {
    /// Run no job: look only
    #[arg(long)]
    no_job: bool,
    /// How long the probe job may take, its machine's start included
    #[arg(long, default_value = "15m", value_name = "DURATION", value_parser = words::duration)]
    job_timeout: Duration,
    /// Try the queue of interruptible (spot) tasks with the probe job
    #[arg(long)]
    interruptible: bool,
    /// Image of the probe job, with batchmap in it [default: the configured one]
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// vCPUs that there must be room for: 2, 0.5, 500m [default: 1]
    #[arg(long, value_name = "CPUS")]
    cpu: Option<String>,
    /// Memory that there must be room for: 512Mi, 2Gi, or MiB [default: 2Gi]
    #[arg(long, value_name = "SIZE")]
    mem: Option<String>,
    /// GPUs that there must be room for [default: 0]
    #[arg(long, value_name = "COUNT")]
    gpu: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
    #[command(flatten)]
    target: TargetArgs,
}

/// Looks at everything that executions need, step by step.
///
/// # Errors
/// When this machine fails; all else is a finding.
pub async fn run(args: DoctorArgs) -> Result<Exit, Failure> {
    let mut report = Report::new(args.format);
    let Some((target, task)) = configuration(&args, &mut report) else { return Ok(report.end()) };
    let session = match Session::open_target(target, Access::Drive { slots: None }).await {
        Ok(session) => session,
        Err(failure) => {
            let fix = "correct what it names; the steps after it were not looked at";
            report.fail("configuration", failure.exit, failure.message, fix);
            return Ok(report.end());
        }
    };
    examine(&args, &session, &task, &mut report).await;
    session.close().await;
    Ok(report.end())
}

async fn examine(args: &DoctorArgs, session: &Session, task: &MapTask, report: &mut Report) {
    if credentials(session, report).await {
        let stored = storage::check(session, report).await;
        let placed = queues::check(session, task, report).await;
        storage::log_group(session, report).await;
        let definition = probe::definition(session, task, report).await;
        match definition {
            _ if args.no_job => report.unseen("job", "none was run: --no-job is given"),
            Some(definition) if stored && placed => probe::run(session, task, definition, report).await,
            _ => report.unseen("job", "none was run, for a step before it failed"),
        }
    } else {
        report.unseen("everything else", "it was not looked at: without credentials AWS answers nothing");
    }
    beyond(session, report);
}

/// The target and the probe's task, with what the configuration is made of.
fn configuration(args: &DoctorArgs, report: &mut Report) -> Option<(Target, MapTask)> {
    if let Ok(settings) = args.target.settings() {
        let told = |(name, setting): (&&str, &Setting)| format!("{name} = {:?} ({})", setting.value, setting.origin);
        let all: Vec<String> = settings.iter().map(told).collect();
        match all.as_slice() {
            [] => report.ok("configuration", "nothing is set: executions run on this machine"),
            all => report.ok("configuration", all.join(", ")),
        }
    }
    let target = args.target.target();
    let task = probe_task(args);
    for faults in [target.as_ref().err(), task.as_ref().err()].into_iter().flatten() {
        report.fail("configuration", Exit::BadInput, faults.to_string(), "correct what it names");
    }
    Some((target.ok()?, task.ok()?))
}

/// A map of one element with a bound value, whose program is batchmap itself: it needs nothing else in the image.
fn probe_task(args: &DoctorArgs) -> Result<MapTask, crate::map::spec::Faults> {
    let text = |text: &Option<String>| text.as_ref().map(Into::into);
    let task = TaskArgs {
        name: Some("doctor".into()),
        map: vec![format!("element=[{:?}]", probe::ELEMENT).into()],
        bind: vec![format!("bound={:?}", probe::BOUND).into()],
        image: text(&args.image),
        cpu: text(&args.cpu),
        mem: text(&args.mem),
        gpu: text(&args.gpu),
        interruptible: args.interruptible.then(|| "true".into()),
        deadline: Some(args.job_timeout.as_secs().max(1).to_string().into()),
        command: ["batchmap", "probe", "{{.inputs.element}}", "{{.inputs.bound}}"].map(Into::into).into(),
        ..TaskArgs::default()
    };
    task.task()
}

/// Whether there are credentials that AWS knows.
async fn credentials(session: &Session, report: &mut Report) -> bool {
    let account = session.account();
    match account.keys().await {
        Ok(keys) => match keys.expire_ms.map(|at| Duration::from_millis(at.saturating_sub(now_ms()))) {
            Some(left) if left < SOON => report.warn(
                "credentials",
                format!("they expire in {} min", left.as_secs() / 60),
                "renew them before a long map, or use a role or profile that renews itself",
            ),
            Some(_) | None => report.ok("credentials", "found"),
        },
        Err(error) => {
            let fix = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role";
            report.fail("credentials", Exit::Aws, format!("there are none: {error}"), fix);
            return false;
        }
    }
    match account.caller().await {
        Ok(caller) => {
            let region = session.region().unwrap_or("an unknown region");
            report.ok("identity", format!("{} of account {}, in {region}", caller.arn, caller.account));
        }
        Err(AccountError::Credentials(why)) => {
            let fix = "renew them: `aws sso login`, or new keys; see that the machine's clock is right";
            report.fail("identity", Exit::Aws, format!("AWS does not accept these credentials: {why}"), fix);
            return false;
        }
        Err(error) => {
            report.unseen(
                "identity",
                format!("STS does not say who this is: {error}; S3 and AWS Batch may answer all the same"),
            );
        }
    }
    true
}

/// What no request can show.
fn beyond(session: &Session, report: &mut Report) {
    if !session.is_on_aws() {
        report.unseen("permissions", "an endpoint in AWS's place checks none: what is ok here may be denied on AWS");
        return;
    }
    report.unseen(
        "permissions",
        "those that these steps did not use: TerminateJob, PassRole of other roles, other buckets of inputs, and what your \
         organization's policies or a permissions boundary deny elsewhere; the table is in terraform/README.md",
    );
    report.unseen("quotas", "vCPU quotas, capacity of spot and of instance types: they show when many children start");
}
