//! Where executions go: the embedded endpoint of this machine, or AWS.

use std::collections::BTreeMap;

use crate::map::inject::Injection;
use crate::map::resources::Platform;
use crate::map::spec::{Fault, Faults};

/// The settings there are. As flags they are written with `-`, in the environment as `BATCHMAP_` and capitals.
pub const SETTINGS: &[&str] = &[
    "region",
    "bucket",
    "prefix",
    "queue",
    "interruptible_queue",
    "job_role",
    "execution_role",
    "platform",
    "image",
    "log_group",
    "assign_public_ip",
    "share_identifier",
    "endpoint",
    "flyte_images",
    "worker",
    "worker_image",
    "readonly_root",
];

/// The settings that the embedded endpoint heeds too: any other one says that AWS is meant.
const ALSO_EMBEDDED: &[&str] = &["prefix", "image", "flyte_images"];

/// The bucket and the queue that batchmap's own endpoint starts with: the default wherever an endpoint is given.
pub const OWN_NAME: &str = "batchmap";

/// The queue of interruptible tasks that it starts with: the default where its other queue is.
pub const OWN_INTERRUPTIBLE: &str = "batchmap-interruptible";

/// A setting's value, and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As text; true or false for a switch.
    pub value: String,
    /// For faults: `batchmap.toml: queue`, `BATCHMAP_QUEUE`, `--queue`.
    pub origin: String,
}

/// What the images of Flyte's tasks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlyteImages {
    /// flytekit, and a shell: any image that flytekit makes.
    Stock,
    /// flytekit alone.
    StockNoShell,
    /// batchmap as well.
    Worker,
    /// flytekit alone: batchmap is put beside them.
    Inject,
}

/// What [`FlyteImages`] are called, for faults.
pub const FLYTE_IMAGES: &str = "write stock, stock-no-shell, worker or inject";

/// Where the worker of a task is, that is not Flyte's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Worker {
    /// In the task's image.
    #[default]
    Image,
    /// Put beside it by a container that comes first.
    Inject,
}

impl std::str::FromStr for Worker {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "image" => Ok(Worker::Image),
            "inject" => Ok(Worker::Inject),
            _ => Err(()),
        }
    }
}

impl std::str::FromStr for FlyteImages {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "stock" => Ok(FlyteImages::Stock),
            "stock-no-shell" => Ok(FlyteImages::StockNoShell),
            "worker" => Ok(FlyteImages::Worker),
            "inject" => Ok(FlyteImages::Inject),
            _ => Err(()),
        }
    }
}

/// Where executions go.
#[derive(Clone, Debug, PartialEq, Eq)]
// A process has one of it.
#[allow(clippy::large_enum_variant)]
pub enum Target {
    /// AWS Batch and S3 on this machine, within this process: nothing is configured.
    Embedded {
        /// What the keys in the bucket begin with, without a slash at its ends; may be empty.
        prefix: String,
        /// The image of tasks that name none.
        image: Option<String>,
        /// How Flyte's tasks are run.
        flyte_images: Option<FlyteImages>,
    },
    /// AWS, or another endpoint that speaks like it.
    Aws(AwsTarget),
}

/// AWS, or an endpoint that speaks like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsTarget {
    /// The region; the standard AWS chain decides when absent.
    pub region: Option<String>,
    /// The bucket of everything that batchmap stores.
    pub bucket: String,
    /// What the keys in it begin with, without a slash at its ends; may be empty.
    pub prefix: String,
    /// The job queue, by name or ARN.
    pub queue: String,
    /// The queue of interruptible (spot) tasks; they go to `queue` when absent.
    pub interruptible_queue: Option<String>,
    /// ARN of the role of the code inside the containers; the instance's role when absent.
    pub job_role: Option<String>,
    /// ARN of the role that pulls the image and writes the logs; Fargate needs one.
    pub execution_role: Option<String>,
    /// Where the queues' compute environments run containers.
    pub platform: Platform,
    /// The image of tasks that name none.
    pub image: Option<String>,
    /// The CloudWatch log group; Batch's own (`/aws/batch/job`) when absent.
    pub log_group: Option<String>,
    /// Give children a public address: on Fargate in a subnet without NAT.
    pub assign_public_ip: bool,
    /// Whose share of a fair-share queue the jobs take; such a queue demands one, and others refuse it.
    pub share_identifier: Option<String>,
    /// What the images of Flyte's tasks hold; when absent, flytekit and a shell on AWS, and the worker as well elsewhere.
    pub flyte_images: Option<FlyteImages>,
    /// The address of an endpoint instead of AWS's; `AWS_ENDPOINT_URL` and the like hold when absent.
    pub endpoint: Option<String>,
    /// Where the worker of tasks is that are not Flyte's.
    pub worker: Worker,
    /// The image that holds the worker, where it is injected.
    pub worker_image: Option<String>,
    /// Whether tasks into which it is injected may write to their volumes alone.
    pub readonly_root: bool,
}

impl Target {
    /// The target that `settings` (names from [`SETTINGS`]) say.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn from_settings(settings: &BTreeMap<&'static str, Setting>) -> Result<Self, Faults> {
        Target::read(settings, true)
    }

    /// The same for what submits nothing: it needs no queue, and without one that of the target is empty.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn without_queue(settings: &BTreeMap<&'static str, Setting>) -> Result<Self, Faults> {
        Target::read(settings, false)
    }

    fn read(settings: &BTreeMap<&'static str, Setting>, needs_queue: bool) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        for (name, setting) in settings {
            if let Err((problem, fix)) = check(name, &setting.value) {
                faults.0.push(Fault::text(&setting.origin, &format!("{:?}", setting.value), problem, fix));
            }
        }
        let get = |name: &str| settings.get(name).map(|setting| setting.value.clone());
        let prefix = get("prefix").map(|prefix| prefix.trim_matches('/').to_owned()).unwrap_or_default();
        let means_aws = settings.iter().find(|(name, _)| !ALSO_EMBEDDED.contains(name));
        let Some((_, meant)) = means_aws else {
            let flyte_images = get("flyte_images").and_then(|text| text.parse().ok());
            return faults.or(Target::Embedded { prefix, image: get("image"), flyte_images });
        };
        // An endpoint of our own has a bucket and a queue of a known name; AWS has none that could be guessed.
        let default = get("endpoint").map(|_| OWN_NAME.to_owned());
        let mut required = |name: &'static str| {
            get(name).or(default.clone()).unwrap_or_else(|| {
                let problem = format!("is not set, but {} is", meant.origin);
                let fix = "set it to run on AWS, or remove the other settings to run on this machine";
                faults.0.push(Fault::missing(name, problem, fix));
                String::new()
            })
        };
        let queue = get("queue").or(default.clone()).unwrap_or_default();
        let own_queue = default.is_some() && get("queue").is_none();
        let target = AwsTarget {
            bucket: required("bucket"),
            queue: if needs_queue { required("queue") } else { queue },
            region: get("region"),
            prefix,
            interruptible_queue: get("interruptible_queue").or(own_queue.then(|| OWN_INTERRUPTIBLE.to_owned())),
            job_role: get("job_role"),
            execution_role: get("execution_role"),
            platform: get("platform").and_then(|text| text.parse().ok()).unwrap_or_default(),
            image: get("image"),
            log_group: get("log_group"),
            assign_public_ip: get("assign_public_ip").is_some_and(|text| text == "true"),
            share_identifier: get("share_identifier"),
            flyte_images: get("flyte_images").and_then(|text| text.parse().ok()),
            endpoint: get("endpoint"),
            worker: get("worker").and_then(|text| text.parse().ok()).unwrap_or_default(),
            worker_image: get("worker_image"),
            readonly_root: get("readonly_root").is_some_and(|text| text == "true"),
        };
        target.check_platform(settings, &mut faults);
        target.check_worker(settings, &mut faults);
        faults.or(Target::Aws(target))
    }
}

impl AwsTarget {
    /// Whether an endpoint is named by hand: an emulator, which neither lags nor needs an image.
    pub fn is_emulated(&self) -> bool {
        self.endpoint.is_some()
    }

    /// The bucket and the queue of batchmap's own endpoint, at the address that the standard variables name.
    pub fn standing_for_aws(prefix: String, image: Option<String>) -> Self {
        AwsTarget {
            region: None,
            bucket: OWN_NAME.to_owned(),
            prefix,
            queue: OWN_NAME.to_owned(),
            interruptible_queue: Some(OWN_INTERRUPTIBLE.to_owned()),
            job_role: None,
            execution_role: None,
            platform: Platform::default(),
            image,
            log_group: None,
            assign_public_ip: false,
            share_identifier: None,
            flyte_images: None,
            endpoint: None,
            worker: Worker::Image,
            worker_image: None,
            readonly_root: false,
        }
    }

    /// How the worker gets beside the images of tasks that are not Flyte's.
    pub fn injection(&self) -> Option<Injection> {
        if self.worker == Worker::Inject { self.injected() } else { None }
    }

    /// The same of Flyte's tasks.
    pub fn flyte_injection(&self) -> Option<Injection> {
        if self.flyte_images() == Some(FlyteImages::Inject) { self.injected() } else { None }
    }

    /// What the images of Flyte's tasks hold, as far as it is said: where the worker is injected into other tasks, it is
    /// into Flyte's too.
    pub fn flyte_images(&self) -> Option<FlyteImages> {
        self.flyte_images.or((self.worker == Worker::Inject).then_some(FlyteImages::Inject))
    }

    fn injected(&self) -> Option<Injection> {
        Some(Injection { image: self.worker_image.clone()?, readonly_root: self.readonly_root })
    }

    /// What injecting needs, and what is of use with it alone.
    fn check_worker(&self, settings: &BTreeMap<&'static str, Setting>, faults: &mut Faults) {
        let injects = [
            ("worker", self.worker == Worker::Inject),
            ("flyte_images", self.flyte_images == Some(FlyteImages::Inject)),
        ];
        let injects: Vec<&str> = injects.into_iter().filter_map(|(name, is)| is.then_some(name)).collect();
        match (injects.first(), &self.worker_image) {
            (Some(name), None) => {
                let origin = settings.get(name).map_or(*name, |setting| &setting.origin);
                faults.0.push(Fault::missing(
                    "worker_image",
                    format!("is not set, but {origin} is inject"),
                    "set it to the image that container/Dockerfile makes, where your tasks can pull it",
                ));
            }
            (None, _) if self.readonly_root => {
                let origin = settings.get("readonly_root").map_or("readonly_root", |setting| &setting.origin);
                let problem = "goes with worker = \"inject\", which gives tasks a /tmp that they may write to";
                faults.0.push(Fault::text(origin, "true", problem, "set worker to inject, or remove it"));
            }
            _ => {}
        }
    }

    /// What one platform needs, and the other does not know.
    fn check_platform(&self, settings: &BTreeMap<&'static str, Setting>, faults: &mut Faults) {
        match self.platform {
            Platform::Fargate => {
                let roles = [
                    ("execution_role", &self.execution_role, "it pulls the image and writes the logs"),
                    ("job_role", &self.job_role, "without it children cannot read their inputs from S3"),
                ];
                for (name, _, why) in roles.iter().filter(|(_, role, _)| role.is_none()) {
                    let problem = format!("is not set, but Fargate needs it: {why}");
                    faults.0.push(Fault::missing(*name, problem, "set it to the role's ARN"));
                }
            }
            Platform::Ec2 if self.assign_public_ip => {
                let origin = settings.get("assign_public_ip").map_or("assign_public_ip", |setting| &setting.origin);
                let fix = "remove it, or set platform to FARGATE";
                faults.0.push(Fault::text(origin, "true", "only Fargate gives children an address", fix));
            }
            Platform::Ec2 => {}
        }
    }
}

/// The problem and the fix of one setting's value.
fn check(name: &str, value: &str) -> Result<(), (String, String)> {
    let wrong = |problem: &str, fix: &str| Err((problem.to_owned(), fix.to_owned()));
    if value.is_empty() && name != "prefix" {
        return wrong("is empty", "give it a value, or remove it");
    }
    if value.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return wrong("holds a space", "remove it");
    }
    match name {
        "bucket" if !is_bucket(value) => wrong(
            "is no name of a bucket",
            "give 3 to 63 lower-case letters, digits, dots and hyphens, without s3:// and without a path (see prefix)",
        ),
        "job_role" | "execution_role" if !(value.starts_with("arn:") && value.contains(":role/")) => {
            wrong("is no ARN of a role", "give it as arn:aws:iam::ACCOUNT:role/NAME")
        }
        "platform" if value.parse::<Platform>().is_err() => wrong("is no platform", "write EC2 or FARGATE"),
        "assign_public_ip" | "readonly_root" if !matches!(value, "true" | "false") => {
            wrong("is neither true nor false", "write one of them")
        }
        "share_identifier" if value.len() > 255 || !value.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            wrong("is no share identifier", "give up to 255 letters and digits")
        }
        "endpoint" if !is_endpoint(value) => wrong("is no address of an endpoint", "give it as http://HOST:PORT"),
        "flyte_images" if value.parse::<FlyteImages>().is_err() => wrong("is not known", FLYTE_IMAGES),
        "worker" if value.parse::<Worker>().is_err() => {
            wrong("is not known", "write image (it is in the task's image) or inject")
        }
        "prefix" if value.starts_with("s3://") => wrong("holds a bucket", "give the bucket as bucket"),
        _ => Ok(()),
    }
}

/// Whether a text is the address of an endpoint: `http://HOST` or `https://HOST`, with a port and a path if need be.
pub fn is_endpoint(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an address in brackets are its own.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
    !host.is_empty() && host.chars().all(named) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_bucket(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [name.bytes().next(), name.bytes().last()];
    (3..=63).contains(&name.len())
        && ends.iter().all(|end| end.is_some_and(plain))
        && name.bytes().all(|b| plain(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(settings: &[(&'static str, &str)]) -> Result<Target, String> {
        let setting = |value: &str, name: &str| Setting { value: value.to_owned(), origin: format!("--{name}") };
        let settings = settings.iter().map(|(name, value)| (*name, setting(value, name))).collect();
        Target::from_settings(&settings).map_err(|faults| faults.to_string())
    }

    fn aws(settings: &[(&'static str, &str)]) -> AwsTarget {
        match target(settings) {
            Ok(Target::Aws(target)) => target,
            other => panic!("{other:?}"),
        }
    }

    const ROLE: &str = "arn:aws:iam::000000000000:role/batchmap";

    #[test]
    fn nothing_configured_is_this_machine() {
        assert_eq!(target(&[]), Ok(Target::Embedded { prefix: String::new(), image: None, flyte_images: None }));
        let some = target(&[("prefix", "/team/a/"), ("image", "x:1"), ("flyte_images", "stock")]);
        let (prefix, image, flyte_images) = ("team/a".into(), Some("x:1".into()), Some(FlyteImages::Stock));
        assert_eq!(some, Ok(Target::Embedded { prefix, image, flyte_images }));
        let wrong = target(&[("flyte_images", "none")]).unwrap_err();
        assert!(wrong.contains("stock-no-shell, worker or inject"), "{wrong}");
    }

    #[test]
    fn a_bucket_and_a_queue_are_aws() {
        let target = aws(&[("bucket", "my-bucket"), ("queue", "main")]);
        assert_eq!((target.bucket.as_str(), target.queue.as_str()), ("my-bucket", "main"));
        assert_eq!((target.platform, target.region, target.endpoint), (Platform::Ec2, None, None));
    }

    #[test]
    fn an_endpoint_alone_is_one_of_our_own() {
        let target = aws(&[("endpoint", "http://127.0.0.1:4566")]);
        assert_eq!((target.bucket.as_str(), target.queue.as_str()), (OWN_NAME, OWN_NAME));
        assert_eq!(target.interruptible_queue.as_deref(), Some(OWN_INTERRUPTIBLE));
    }

    #[test]
    fn who_submits_nothing_needs_no_queue() {
        let setting = Setting { value: "my-bucket".to_owned(), origin: "--bucket".to_owned() };
        let target = Target::without_queue(&[("bucket", setting)].into()).unwrap();
        assert!(matches!(target, Target::Aws(target) if target.queue.is_empty() && target.bucket == "my-bucket"));
        assert!(Target::without_queue(&BTreeMap::new()).is_ok_and(|target| matches!(target, Target::Embedded { .. })));
    }

    #[test]
    fn an_endpoint_is_told_from_other_texts() {
        for text in ["http://h", "https://h.example:443/p", "http://127.0.0.1:4566", "http://[::1]:80", "http://[::1]"]
        {
            assert!(is_endpoint(text), "{text}");
        }
        for text in
            ["", "h:80", "ftp://h", "http://", "http:///p", "http://h:port", "http://h:99999", "http://a b", "x"]
        {
            assert!(!is_endpoint(text), "{text}");
        }
    }

    #[test]
    fn half_a_target_is_never_run_on_this_machine() {
        for name in ["queue", "region", "job_role", "log_group", "platform"] {
            let value = if name == "job_role" { ROLE } else { "EC2" };
            let message = target(&[(name, value)]).unwrap_err();
            assert!(
                message.contains(&format!("bucket: is not set, but --{name} is; set it to run on AWS")),
                "{message}"
            );
        }
        assert!(target(&[("bucket", "my-bucket")]).unwrap_err().starts_with("queue: is not set, but --bucket is"));
    }

    #[test]
    fn fargate_needs_its_roles() {
        let with = |more: &[(&'static str, &'static str)]| {
            let base = [("bucket", "my-bucket"), ("queue", "q"), ("platform", "fargate")];
            target(&[&base[..], more].concat())
        };
        assert_eq!(with(&[]).unwrap_err().lines().count(), 2);
        let full = with(&[("execution_role", ROLE), ("job_role", ROLE), ("assign_public_ip", "true")]);
        assert!(matches!(full, Ok(Target::Aws(AwsTarget { platform: Platform::Fargate, assign_public_ip: true, .. }))));
    }

    #[test]
    fn an_injected_worker_has_an_image() {
        let with =
            |more: &[(&'static str, &'static str)]| target(&[&[("bucket", "bbb"), ("queue", "q")], more].concat());
        let refused = with(&[("worker", "inject")]).unwrap_err();
        assert!(refused.starts_with("worker_image: is not set, but --worker is inject; set it to"), "{refused}");
        let refused = with(&[("flyte_images", "inject")]).unwrap_err();
        assert!(refused.starts_with("worker_image: is not set, but --flyte_images is inject"), "{refused}");
        let refused = with(&[("worker", "sidecar")]).unwrap_err();
        assert!(refused.contains("--worker is \"sidecar\": is not known; write image"), "{refused}");
        let refused = with(&[("readonly_root", "true"), ("worker_image", "w:1")]).unwrap_err();
        assert!(refused.starts_with("--readonly_root is true: goes with worker = \"inject\""), "{refused}");
        let injecting = with(&[("worker", "inject"), ("worker_image", "w:1"), ("readonly_root", "true")]);
        let Ok(Target::Aws(target)) = injecting else { panic!("{injecting:?}") };
        let injection = Injection { image: "w:1".to_owned(), readonly_root: true };
        assert_eq!(target.injection(), Some(injection.clone()));
        assert_eq!(target.flyte_injection(), Some(injection));
        let stock = AwsTarget { flyte_images: Some(FlyteImages::Stock), ..target };
        assert_eq!(stock.flyte_injection(), None);
        let Ok(Target::Aws(target)) = with(&[("worker_image", "w:1")]) else { panic!("an image alone is no fault") };
        assert_eq!(target.injection(), None);
    }

    #[test]
    fn all_faults_at_once() {
        let message = target(&[
            ("bucket", "s3://my-bucket"),
            ("queue", ""),
            ("job_role", "admin"),
            ("platform", "EKS"),
            ("assign_public_ip", "yes"),
            ("share_identifier", "team-a"),
            ("endpoint", "localhost:4566"),
            ("region", "eu west"),
        ])
        .unwrap_err();
        assert_eq!(message.lines().count(), 8, "{message}");
        assert!(message.contains("--bucket is \"s3://my-bucket\": is no name of a bucket; give 3 to 63"), "{message}");
        let ec2 = target(&[("bucket", "bbb"), ("queue", "q"), ("assign_public_ip", "true")]).unwrap_err();
        assert!(ec2.starts_with("--assign_public_ip is true: only Fargate"), "{ec2}");
    }
}
