//! What a command works on: AWS, or the endpoint embedded in this process or in another one of this folder.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::Failure;
use super::config::TargetArgs;
use super::logs::DEFAULT_GROUP;
use super::signals::Signals;
use crate::aws::account::Account;
use crate::aws::logs::console_group;
use crate::aws::sdk::{self, Clients};
use crate::aws::target::{AwsTarget, FlyteImages, Target};
use crate::emulator::folder::{Client, Closed, Folder, FolderError, Owner, Role};
use crate::emulator::local::{self, Local};
use crate::map::cadence::Pace;
use crate::map::layout::Root;
use crate::map::resources::Platform;
use crate::map::spec::{Fault, Faults};
use crate::map::task::Runner;
use crate::run::bound::Results;
use crate::run::driver::Patience;
use crate::run::result::Stored;
use crate::run::source::Stores;
use crate::run::{Clock, Ports};

/// The folder of the embedded endpoint, in the folder that batchmap runs in.
pub const FOLDER: &str = ".batchmap";

/// Stands in a job definition for no image at all: definitions must name one.
pub const NO_IMAGE: &str = "batchmap/process";

/// The region of an endpoint in AWS's place, when nothing else is configured: it does not care.
const REGION: &str = "us-east-1";

/// What a command means to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Start or stop jobs: needs a live endpoint, and becomes one where there is none.
    Drive {
        /// Children at once, if this process becomes the endpoint; the machine's cores when absent.
        slots: Option<usize>,
    },
    /// Only look: with no live endpoint, the state on disk is all there is.
    Read,
}

/// A command's way to AWS, or to what stands for it.
pub struct Session {
    /// The three services.
    pub ports: Ports,
    /// The prefix of every key.
    pub prefix: String,
    /// How a driver waits here.
    pub patience: Patience,
    /// The names that submissions use.
    pub target: AwsTarget,
    clients: Clients,
    polls: AtomicU64,
    place: Place,
}

/// Where the services are.
enum Place {
    Aws,
    /// Served by this process.
    Owner {
        owner: Owner,
        local: Local,
    },
    /// Served by another process of this folder.
    Client {
        client: Client,
    },
    /// Nothing is live: read from disk.
    Disk {
        local: Local,
    },
}

/// On AWS, answers lag and outages pass.
const AWS_PATIENCE: Patience =
    Patience { pace: Pace::AWS, lag: Duration::from_secs(60), outage: Duration::from_secs(15 * 60) };

/// The embedded endpoint answers at once, and when its process is gone it stays gone.
const EMBEDDED_PATIENCE: Patience =
    Patience { pace: Pace::EMBEDDED, lag: Duration::ZERO, outage: Duration::from_secs(10) };

impl Session {
    /// Opens what the configuration names, for a command that need not have a queue.
    ///
    /// # Errors
    /// When the configuration is wrong, or the embedded endpoint cannot be used.
    pub async fn open(args: &TargetArgs, access: Access) -> Result<Session, Failure> {
        Session::open_target(args.target_without_queue().map_err(|faults| Failure::input(faults.to_string()))?, access)
            .await
    }

    /// Opens a target that is known.
    ///
    /// # Errors
    /// When the embedded endpoint cannot be used, or AWS has no region.
    pub async fn open_target(target: Target, access: Access) -> Result<Session, Failure> {
        match target {
            Target::Aws(target) => Session::aws(target).await,
            // A standard variable that points elsewhere must not be passed over in silence.
            Target::Embedded { prefix, image, flyte_images } if sdk::endpoint_in_environment() => {
                let image = image.or_else(|| Some(NO_IMAGE.to_owned()));
                let target = AwsTarget::standing_for_aws(prefix, image);
                Session::aws(AwsTarget { region: Some(REGION.to_owned()), flyte_images, ..target }).await
            }
            Target::Embedded { prefix, image, flyte_images } => {
                Session::embedded(AwsTarget { flyte_images, ..own(prefix, image) }, access).await
            }
        }
    }

    async fn aws(target: AwsTarget) -> Result<Session, Failure> {
        if target.endpoint.is_none() {
            let wrong = sdk::wrong_endpoints().into_iter();
            let faults: Vec<Fault> = wrong
                .map(|(name, value)| {
                    let (problem, fix) = ("is no address of an endpoint", "give it as http://HOST:PORT, or unset it");
                    Fault::text(name, &format!("{value:?}"), problem, fix)
                })
                .collect();
            Faults(faults).or(()).map_err(|faults| Failure::input(faults.to_string()))?;
        }
        let clients = sdk::connect(&sdk::Target {
            region: target.region.clone(),
            endpoint: target.endpoint.clone(),
            credentials: None,
            bucket: target.bucket.clone(),
            share_identifier: target.share_identifier.clone(),
        })
        .await;
        if clients.region.is_none() {
            return Err(Failure::input(
                "no AWS region is configured: give --region, BATCHMAP_REGION, AWS_REGION, or `region` in batchmap.toml",
            ));
        }
        // An endpoint named by hand is an emulator: it does not lag.
        let patience = if target.is_emulated() { EMBEDDED_PATIENCE } else { AWS_PATIENCE };
        Ok(Session::new(clients, target, patience, Place::Aws))
    }

    async fn embedded(target: AwsTarget, access: Access) -> Result<Session, Failure> {
        let slots = match access {
            Access::Drive { slots } => slots,
            Access::Read => None,
        };
        if access == Access::Read {
            return match Folder::existing(FOLDER) {
                None => Err(Failure::input(format!(
                    "there is no {FOLDER}/ here and no AWS target is configured: nothing has run in this folder yet; \
                     give --bucket, or start something with `batchmap run`"
                ))),
                Some(folder) => match folder.live().await.map_err(in_use)? {
                    Some(client) => Ok(Session::client(client, target).await),
                    None => Session::disk(&folder, target).await,
                },
            };
        }
        let folder = Folder::open(FOLDER).map_err(in_use)?;
        match folder.role().await.map_err(in_use)? {
            Role::Client(client) => {
                if slots.is_some() {
                    note!("note: --slots is not used: another batchmap of this folder serves the endpoint");
                }
                Ok(Session::client(client, target).await)
            }
            Role::Owner(owner) => {
                let local = local::start(local::Settings::driving(folder.data(), slots)).await.map_err(unusable)?;
                owner.publish(local.endpoint()).map_err(in_use)?;
                let clients = connect(&local.url(), &target).await;
                Ok(Session::new(clients, target, EMBEDDED_PATIENCE, Place::Owner { owner, local }))
            }
        }
    }

    async fn client(client: Client, target: AwsTarget) -> Session {
        let clients = connect(&client.record.url, &target).await;
        Session::new(clients, target, EMBEDDED_PATIENCE, Place::Client { client })
    }

    async fn disk(folder: &Folder, target: AwsTarget) -> Result<Session, Failure> {
        let local = local::start(local::Settings::reading(folder.data())).await.map_err(unusable)?;
        let clients = connect(&local.url(), &target).await;
        Ok(Session::new(clients, target, EMBEDDED_PATIENCE, Place::Disk { local }))
    }

    fn new(clients: Clients, target: AwsTarget, patience: Patience, place: Place) -> Session {
        let Clients { store, batch, logs, .. } = clients.clone();
        let ports = Ports { batch, store, logs, clock: Clock::wall() };
        Session { ports, prefix: target.prefix.clone(), patience, target, clients, polls: AtomicU64::new(0), place }
    }

    /// The keys of execution `id`.
    pub fn root(&self, id: &str) -> Root {
        Root::new(&self.prefix, id)
    }

    /// Whether children run on this machine.
    pub fn is_embedded(&self) -> bool {
        !matches!(self.place, Place::Aws)
    }

    /// The process whose endpoint this session uses, where that is another one of this folder.
    pub fn served_by(&self) -> Option<u32> {
        match &self.place {
            Place::Client { client } => Some(client.record.pid),
            Place::Aws | Place::Owner { .. } | Place::Disk { .. } => None,
        }
    }

    /// Whether an execution that wrote its last record at `last_ms` may be at work here: then its jobs can be asked
    /// about. The embedded endpoint holds what was left by its earlier lives until somebody asks, and to look is not to
    /// take up. What ran a workflow's node is the server's, which takes it up without a record.
    pub fn may_be_driven(&self, last_ms: u64, of_workflow: bool) -> bool {
        match &self.place {
            Place::Aws => true,
            Place::Client { client } => of_workflow || last_ms >= client.record.started_ms,
            // Another process of this folder may have taken it over.
            Place::Owner { owner, .. } => owner.has_clients().unwrap_or(false),
            Place::Disk { .. } => false,
        }
    }

    /// Where it works, for messages.
    pub fn place(&self) -> String {
        match &self.place {
            Place::Aws => format!("s3://{}/{}", self.target.bucket, self.prefix),
            _ => format!("{FOLDER}/ of this folder"),
        }
    }

    /// The platform that children run on.
    pub fn platform(&self) -> Platform {
        self.target.platform
    }

    /// Whether this is AWS itself, and nothing that stands for it.
    pub fn is_on_aws(&self) -> bool {
        matches!(self.place, Place::Aws) && !self.target.is_emulated() && !sdk::endpoint_in_environment()
    }

    /// Who runs the commands of Flyte's tasks.
    ///
    /// # Errors
    /// Where processes of this machine are to do without a shell, or an injected worker has no image.
    pub fn flyte_runner(&self) -> Result<Runner, Failure> {
        if self.target.flyte_images() == Some(FlyteImages::Inject) && self.target.flyte_injection().is_none() {
            return Err(Failure::input(
                "worker_image is not set, but flyte_images is inject: set it to the image that container/Dockerfile makes, where \
                 your tasks can pull it",
            ));
        }
        flyte_runner(self.target.flyte_images(), self.is_on_aws(), self.is_embedded())
    }

    /// Where AWS's console shows what all jobs write; none where the jobs do not run on AWS.
    pub fn console_logs(&self) -> Option<String> {
        let region = self.clients.region.as_ref().filter(|_| self.is_on_aws())?;
        Some(console_group(region, self.log_group().unwrap_or(DEFAULT_GROUP)))
    }

    /// The log group that is configured.
    pub fn log_group(&self) -> Option<&str> {
        self.target.log_group.as_deref()
    }

    /// The account, for who looks at it.
    pub fn account(&self) -> Arc<dyn Account> {
        self.clients.account.clone()
    }

    /// The region in use.
    pub fn region(&self) -> Option<&str> {
        self.clients.region.as_deref()
    }

    /// The stores of other buckets, for inputs that lie there.
    pub fn stores(&self) -> Stores {
        let clients = self.clients.clone();
        Arc::new(move |bucket: &str| clients.store_of(bucket))
    }

    /// The results of earlier executions.
    pub fn results(&self) -> Arc<dyn Results> {
        Arc::new(Stored { store: self.ports.store.clone(), prefix: self.prefix.clone() })
    }

    /// Prints how many requests were sent, as one line of JSON on standard error.
    pub fn print_stats(&self, wanted: bool) {
        if wanted {
            let polls = self.polls.load(Ordering::Relaxed);
            note!("{}", json!({ "requests": self.clients.counts.snapshot(), "polls": polls }));
        }
    }

    /// What counts the requests.
    pub fn counts(&self) -> sdk::Counts {
        self.clients.counts.clone()
    }

    /// Notes how often a driver has polled, for [`Session::print_stats`].
    pub fn note_polls(&self, polls: u64) {
        self.polls.store(polls, Ordering::Relaxed);
    }

    /// What becomes of the children when this process stops watching, in words. `holds` is whether there may be any.
    pub fn left_behind(&self, holds: bool) -> String {
        match &self.place {
            _ if !holds => "AWS Batch holds nothing of it".to_owned(),
            Place::Aws => "what AWS Batch holds goes on running".to_owned(),
            Place::Client { client } => {
                format!("its children go on as long as process {} serves them", client.record.pid)
            }
            Place::Owner { .. } | Place::Disk { .. } => "its children on this machine are stopped".to_owned(),
        }
    }

    /// Ends the session. An embedded endpoint stops when no other process uses it any more.
    pub async fn close(self) {
        if let Place::Owner { owner, .. } = &self.place {
            if owner.has_clients().unwrap_or(false) {
                note!(
                    "other batchmap commands in this folder use the endpoint of this one: waiting for them; press \
                     Ctrl-C to stop it and their children now"
                );
            }
            let mut signals = Signals::new().ok();
            let asked = async {
                match &mut signals {
                    Some(signals) => drop(signals.next().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Held to the end, so that nobody begins to use an endpoint that is about to stop.
                closed = owner.clients_gone() => return self.stop(closed.ok()).await,
                () = asked => {}
            }
        }
        self.stop(None).await;
    }

    /// Ends the session at once: an embedded endpoint stops, whoever uses it.
    pub async fn close_now(self) {
        if let Place::Owner { owner, .. } = &self.place
            && owner.has_clients().unwrap_or(false)
        {
            note!("other batchmap commands in this folder used the endpoint of this one: they can be resumed too");
        }
        self.stop(None).await;
    }

    /// Kills the children that this process has, and stops serving. `closed` keeps others from the folder meanwhile.
    async fn stop(self, closed: Option<Closed>) {
        match self.place {
            Place::Aws | Place::Client { .. } => {}
            Place::Disk { local } => local.stop().await,
            Place::Owner { owner, local } => {
                local.stop().await;
                drop(owner);
            }
        }
        drop(closed);
    }
}

/// Unmodified images hold no worker; where processes of a machine, or an emulator, run children, it is there.
fn flyte_runner(images: Option<FlyteImages>, is_aws: bool, is_embedded: bool) -> Result<Runner, Failure> {
    let default = if is_aws { FlyteImages::Stock } else { FlyteImages::Worker };
    match (images.unwrap_or(default), is_embedded) {
        (FlyteImages::Worker, _) | (FlyteImages::Inject, false) => Ok(Runner::Worker),
        (FlyteImages::Inject, true) => Err(Failure::input(
            "flyte_images is inject: children are processes of this machine, which has the worker; write worker, or leave it out",
        )),
        (FlyteImages::Stock, false) => Ok(Runner::Stock),
        (FlyteImages::Stock, true) => Ok(Runner::StockProcess),
        (FlyteImages::StockNoShell, false) => Ok(Runner::StockNoShell),
        (FlyteImages::StockNoShell, true) => Err(Failure::input(
            "flyte_images is stock-no-shell: children are processes of this machine, which has a shell; write stock, or leave \
             it out",
        )),
    }
}

/// The embedded endpoint, as a target.
fn own(prefix: String, image: Option<String>) -> AwsTarget {
    AwsTarget::standing_for_aws(prefix, image)
}

async fn connect(url: &str, target: &AwsTarget) -> Clients {
    let credentials = Some((local::ACCESS_KEY.to_owned(), local::SECRET_KEY.to_owned()));
    let (region, bucket) = (target.region.clone(), target.bucket.clone());
    let (endpoint, share_identifier) = (Some(url.to_owned()), target.share_identifier.clone());
    sdk::connect(&sdk::Target { region, endpoint, credentials, bucket, share_identifier }).await
}

fn in_use(error: FolderError) -> Failure {
    Failure::internal(error.to_string())
}

fn unusable(error: local::StartError) -> Failure {
    Failure::internal(format!("cannot start the embedded endpoint on {FOLDER}/data: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_taken_as_they_are_on_aws_and_nowhere_else_unless_said() {
        let runner =
            |images, is_aws, is_embedded| flyte_runner(images, is_aws, is_embedded).map_err(|error| error.message);
        assert_eq!(runner(None, true, false), Ok(Runner::Stock));
        assert_eq!(runner(None, false, false), Ok(Runner::Worker));
        assert_eq!(runner(None, false, true), Ok(Runner::Worker));
        assert_eq!(runner(Some(FlyteImages::Worker), true, false), Ok(Runner::Worker));
        assert_eq!(runner(Some(FlyteImages::Stock), false, true), Ok(Runner::StockProcess));
        assert_eq!(runner(Some(FlyteImages::StockNoShell), true, false), Ok(Runner::StockNoShell));
        assert!(runner(Some(FlyteImages::StockNoShell), false, true).unwrap_err().contains("write stock"));
        assert_eq!(runner(Some(FlyteImages::Inject), true, false), Ok(Runner::Worker));
        assert!(runner(Some(FlyteImages::Inject), false, true).unwrap_err().contains("write worker"));
    }
}
