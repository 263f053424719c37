//! `batchmap serve`.

mod access;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use self::access::{Access as Door, AccessArgs};
use super::config::TargetArgs;
use super::definitions::Definitions;
use super::session::{Access, Session};
use super::{Exit, Failure};
use crate::aws::pooled::Pooled;
use crate::aws::target::{AwsTarget, FLYTE_IMAGES, FlyteImages, Target};
use crate::map::flyte::Outline;
use crate::map::layout::flyte::FlyteRoot;
use crate::map::task::Runner;
use crate::run;
use crate::run::Ports;
use crate::run::begin::Queues;
use crate::run::flow::{Host, Lease, Turns};
use crate::service::{Service, server};

const HELP: &str = "\
Point flytekit at it, and run workflows as on any Flyte cluster:
  export FLYTE_PLATFORM_URL=127.0.0.1:8089 FLYTE_PLATFORM_INSECURE=true
  pyflyte run --remote --wait --poll-interval 1 FILE.py WORKFLOW
Every task node becomes an AWS Batch job, every map task an array of them.

A task's secret is fetched by AWS Batch where its key is the ARN of a secret (Secrets Manager) or of a parameter (Systems
Manager); with --local it is taken from the variable of the same name of the server's environment.

Other machines may reach an address of --listen only where callers are asked for a token: `batchmap token NAME --file FILE`
makes one, and --tokens-file FILE asks for it. Tokens cross the network encrypted alone: --tls-cert and --tls-key. Certificate,
key and tokens are read again every minute and on SIGHUP. In flytekit's configuration, admin.authType is then ExternalCommand
(its command prints the token) or ClientSecret (for `batchmap token --client`), admin.insecure is false, and
admin.caCertFilePath names the authority of a certificate that no public one has signed. Open to all are health, readiness and
signed addresses; a browser signs in with the name and the token.

Once it serves, its address is printed on standard output, alone on a line. SIGINT or SIGTERM stops it: nothing new is
begun (a second one: at once), AWS Batch goes on with what it holds, and the next server of the bucket takes the executions up. With --local the
children are processes of this machine and end with the server; they are started again by the next one.

Exit codes: 0 ended by SIGINT or SIGTERM; 2 a flag, the configuration or the address cannot be used; 4 AWS cannot be
reached or refuses.";

/// Arguments of `batchmap serve`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP, after_help = "`--help` tells how to point flytekit at it.")]
pub struct ServeArgs {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8089", value_name = "ADDRESS", value_parser = super::emulator::address)]
    listen: SocketAddr,
    /// Run everything on this machine: store and AWS Batch are embedded, and children run as processes in the Python
    /// environment that this command is started from
    #[arg(long)]
    local: bool,
    /// Children at once with --local [default: the machine's cores]
    #[arg(long, value_name = "COUNT", requires = "local", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=4096))]
    slots: Option<u32>,
    /// Nodes at once of an execution that names no number itself, and children at once of each of its maps that name none
    /// [default: no bound]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(1..))]
    max_parallelism: Option<i32>,
    /// Nodes at once of all executions that this server drives; executions take turns [default: no bound]
    #[arg(long, value_name = "COUNT")]
    max_nodes: Option<NonZeroUsize>,
    /// What the images of tasks hold: `stock` is flytekit and a shell, `stock-no-shell` flytekit alone, `worker` batchmap
    /// as well; `inject` is flytekit alone, with batchmap put beside it from worker_image [default: inject where worker is,
    /// else stock on AWS, worker elsewhere]
    #[arg(long, value_name = "WHAT", value_parser = |text: &str| text.parse::<FlyteImages>().map_err(|()| FLYTE_IMAGES))]
    flyte_images: Option<FlyteImages>,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// When the arguments or the configuration are wrong, or the bucket cannot be used.
pub async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    let door = Door::open(&args.access, &args.target, args.listen.ip())?;
    let mut target = target(&args)?;
    if let Some(given) = args.flyte_images {
        let (Target::Aws(AwsTarget { flyte_images, .. }) | Target::Embedded { flyte_images, .. }) = &mut target;
        *flyte_images = Some(given);
    }
    let broken = |error: std::io::Error| Failure::internal(format!("cannot wait for signals: {error}"));
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt()).map_err(broken)?, signal(SignalKind::terminate()).map_err(broken)?);
    let hangups = door.hangups();
    let bound = server::bind(args.listen).await.map_err(|error| {
        Failure::input(format!("--listen is {}: {error}; give another address, such as 127.0.0.1:0", args.listen))
    })?;
    let (max_parallelism, max_nodes) = (args.max_parallelism.unwrap_or_default(), args.max_nodes);
    let slots = args.slots.map(|slots| slots as usize);
    let session = Session::open_target(target, Access::Drive { slots }).await?;
    if let Some(pid) = session.served_by() {
        session.close().await;
        return Err(Failure::input(format!(
            "process {pid} is another batchmap at work in this folder, and a server must have it to itself: stop that one, or \
             start this one in another folder"
        )));
    }
    let runner = match session.flyte_runner() {
        Ok(runner) => runner,
        Err(problem) => {
            session.close().await;
            return Err(problem);
        }
    };
    if args.local && !on_the_path("pyflyte-execute") {
        note!(
            "pyflyte-execute is not on the PATH, so no task of flytekit can run here: start this in the environment that has \
             flytekit (pip install flytekit)"
        );
    }
    let service = match Service::open(host(&session, runner, max_parallelism, max_nodes)).await {
        Ok(service) => service,
        Err(problem) => {
            session.close().await;
            return Err(Failure { message: problem, exit: Exit::Aws });
        }
    };
    let service = service.facing(door.face.clone());
    let serving = match &door.certificates {
        None => bound.serve(service.router()),
        Some(certificates) => bound
            .serve_tls(service.router(), certificates.clone())
            .map_err(|error| Failure::internal(format!("TLS cannot be set up: {error}")))?,
    };
    out!("{}", serving.addr());
    note!(
        "FlyteAdmin for flytekit: export FLYTE_PLATFORM_URL={} FLYTE_PLATFORM_INSECURE={}; nodes run {}",
        serving.addr(),
        door.certificates.is_none(),
        if session.is_embedded() { "on this machine".to_owned() } else { format!("on {}", session.target.queue) }
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = door.watch(hangups) => {}
    }
    note!("stopping; once more stops at once");
    let stopped = async {
        if let Err(error) = serving.stop().await {
            note!("{error}");
        }
        service.stop().await;
    };
    tokio::select! {
        () = stopped => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    session.close_now().await;
    Ok(Exit::Ok)
}

/// Whether a program is in one of the folders of the PATH.
fn on_the_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn target(args: &ServeArgs) -> Result<Target, Failure> {
    let target = args.target.target().map_err(|faults| Failure::input(faults.to_string()))?;
    match (target, args.local) {
        (Target::Embedded { .. }, false) => Err(Failure::input(
            "no AWS target is configured: give --bucket and --queue, or a batchmap.toml; or --local to run everything on \
             this machine",
        )),
        (Target::Aws(_), true) => Err(Failure::input(
            "--local runs everything on this machine, and an AWS target is configured: leave one of them out \
             (--config /dev/null passes over a batchmap.toml)",
        )),
        (target, _) => Ok(target),
    }
}

fn host(session: &Session, runner: Runner, max_parallelism: i32, max_nodes: Option<NonZeroUsize>) -> Host {
    let definitions = Definitions::of(session);
    let make = move |task: &Outline| {
        definitions.make(task.image.as_deref(), &task.resources, &task.batch).map(|(made, _)| made)
    };
    // A service follows many executions, with few arrays each.
    let batch = Arc::new(Pooled::new(session.ports.batch.clone()));
    Host {
        ports: Ports { batch, ..session.ports.clone() },
        prefix: session.prefix.clone(),
        root: FlyteRoot::new(&session.prefix),
        server: format!("{}-{:016x}", std::process::id(), run::random()),
        queues: Queues {
            default: session.target.queue.clone(),
            interruptible: session.target.interruptible_queue.clone(),
        },
        definitions: Arc::new(make),
        runner,
        injection: session.target.flyte_injection(),
        patience: session.patience,
        lease: match (session.is_embedded(), session.target.is_emulated()) {
            // The embedded endpoint's folder is locked: no other server can be at work on it.
            (true, _) => Lease::ALONE,
            (false, true) => Lease::EMULATED,
            (false, false) => Lease::AWS,
        },
        max_parallelism,
        turns: Turns::new(max_nodes),
        direct_uploads: session.is_on_aws(),
        log_link: session.console_logs(),
        calls: session.counts(),
    }
}
