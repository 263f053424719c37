//! Sudden death, for real: SIGKILL to the built binary, again and again, in one execution of 2,000 children against an
//! endpoint in a process of its own, and once to the endpoint as well. Whoever comes after takes it up; what comes out
//! is what an undisturbed run of the same gives, and what [`expected`] says.
//!
//! `BATCHMAP_KILLS_SEED` sets the seed that the moments of death are drawn from.

#[path = "support/emulator.rs"]
mod emulator;
#[path = "cli/place.rs"]
#[allow(dead_code)]
mod place;
#[path = "support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_batch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_batch::types::JobStatus;
use batchmap::aws::store::Store;
use batchmap::map::layout::{Root, job_name_prefix};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use emulator::{Emulator, NAME, Setting};
use place::{Place, Ran};

/// Subtasks of the execution.
const CHILDREN: u64 = 2000;
/// Drivers that are killed.
const KILLS: u64 = 50;
/// The kill before which the endpoint dies.
const ENDPOINT_DIES: u64 = 25;
/// Children that run at once.
const SLOTS: u64 = 6;
/// The element whose child waits until the killing is done: the execution cannot end before.
const LAST: u64 = 1234;
/// For what must come from another process sooner or later, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Notes that it runs. One of 100 fails for good, two of 100 ask to be run again, and one waits for the file `go`.
const SCRIPT: &str = "\
echo $1 >> $2.ran
case $1 in
*13) exit 3 ;;
*57|*91) [ -e $2.$1 ] || { : > $2.$1; exit 75; } ;;
1234) until [ -e $2.go ]; do sleep 0.1; done ;;
esac
echo $(($1 * 7))";

/// What becomes of an element.
fn expected(x: u64) -> Value {
    if x % 100 == 13 { Value::Null } else { json!(x * 7) }
}

/// How often a child has reason to begin.
fn runs_due(x: u64) -> u64 {
    if matches!(x % 100, 57 | 91) { 2 } else { 1 }
}

/// The list.
fn elements() -> String {
    format!("x={}", json!((0..CHILDREN).collect::<Vec<_>>()))
}

/// The arguments of an execution whose children write files that begin with `mark`.
fn run_args<'a>(url: &'a str, list: &'a str, mark: &'a str) -> Vec<&'a str> {
    let task = ["run", "--endpoint", url, "--map", list, "--output", "o0:integer", "--concurrency", "120"];
    let policy = ["--retries", "2", "--min-success-ratio", "0.9", "--format", "json"];
    let command = ["--", "sh", "-c", SCRIPT, "sh", "{{.inputs.x}}", mark];
    [&task[..], &policy, &command].concat()
}

/// Small, and the same on every machine: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What a driver does last.
#[derive(Debug)]
enum Moment {
    /// Whatever it is at so long after its start.
    Since(Duration),
    /// It has just written so many records.
    Records(u64),
    /// So many children have begun.
    Children(u64),
}

impl Moment {
    fn draw(dice: &mut Dice, number: u64) -> Self {
        match dice.below(4) {
            0 => Moment::Since(Duration::from_millis(dice.below(400))),
            1 => Moment::Records(1 + dice.below(4)),
            // Spread over the whole execution.
            _ => Moment::Children(CHILDREN * number / KILLS + dice.below(CHILDREN / KILLS)),
        }
    }
}

/// The execution that is watched, from outside.
struct Scene {
    place: Place,
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn Store>,
    root: Root,
}

impl Scene {
    /// How often each subtask has begun.
    fn runs(&self, mark: &str) -> BTreeMap<u64, u64> {
        let mut runs = BTreeMap::new();
        for line in self.place.read(&format!("{mark}.ran")).lines() {
            *runs.entry(line.parse().unwrap()).or_insert(0) += 1;
        }
        runs
    }

    /// Children that have begun, of any attempt.
    fn begun(&self) -> u64 {
        self.place.read("wild.ran").bytes().filter(|byte| *byte == b'\n').count() as u64
    }

    /// Records of the journal; as before while the endpoint is away.
    fn records(&self) -> u64 {
        let page = self.runtime.block_on(self.store.list(&self.root.journal(), None));
        page.map_or(0, |page| page.objects.len() as u64)
    }

    /// Waits for the moment, and for as long as it takes the machine to get anywhere.
    fn wait_for(&self, moment: &Moment, driver: &mut Child) {
        let (begun, records) = (Instant::now(), self.records());
        loop {
            let children = self.begun();
            let come = match *moment {
                Moment::Since(time) => begun.elapsed() >= time,
                Moment::Records(count) => self.records() >= records + count,
                Moment::Children(count) => children >= count,
            };
            // Where nothing is left but the one that waits, nothing more happens.
            if come || (children >= CHILDREN && self.runs("wild").len() as u64 == CHILDREN) {
                return;
            }
            let ended = driver.try_wait().unwrap();
            assert!(ended.is_none(), "the driver ended by itself: {ended:?}\n{}", self.place.read("driver.log"));
            assert!(begun.elapsed() < PATIENCE, "{moment:?} does not come\n{}", self.place.read("driver.log"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts a driver.
    fn drive(&self, args: &[&str]) -> Child {
        let log = File::create(self.place.path("driver.log")).unwrap();
        self.place.command(args).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }
}

fn endpoint(place: &Place, address: Option<SocketAddr>) -> Emulator {
    let data = place.path("served/data");
    std::fs::create_dir_all(data.parent().unwrap()).unwrap();
    let mut setting = Setting::default().data(&data).args(["--slots", &SLOTS.to_string()]);
    if let Some(address) = address {
        setting = setting.listen(address);
    }
    let process = setting.command(&data).current_dir(place.path("")).spawn().unwrap();
    Emulator::of(process, &data)
}

fn slay(mut process: Child) {
    kill(Pid::from_raw(process.id() as i32), Signal::SIGKILL).unwrap();
    process.wait().unwrap();
}

/// Every job of the endpoint: its name and its state.
async fn jobs(url: &str) -> Vec<(String, JobStatus)> {
    let config = aws_sdk_batch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("any", "thing", None, None, "test"));
    let client = aws_sdk_batch::Client::from_conf(config.build());
    let mut jobs = Vec::new();
    for queue in [NAME.to_owned(), format!("{NAME}-interruptible")] {
        for status in JobStatus::values() {
            let mut pages = client.list_jobs().job_queue(&queue).job_status(JobStatus::from(*status));
            loop {
                let page = pages.clone().send().await.unwrap();
                for job in page.job_summary_list() {
                    jobs.push((job.job_name().unwrap().to_owned(), job.status().unwrap().clone()));
                }
                match page.next_token() {
                    Some(token) => pages = pages.next_token(token),
                    None => break,
                }
            }
        }
    }
    jobs
}

#[test]
fn fifty_dead_drivers_and_a_dead_endpoint_change_no_result() {
    let seed = std::env::var("BATCHMAP_KILLS_SEED").map_or(4, |seed| seed.parse().expect("a number"));
    let mut dice = Dice(seed);
    let place = Place::new();
    let mut served = endpoint(&place, None);
    let (url, address) = (served.url().to_owned(), served.addr());
    // Nobody holds this one up.
    place.write("calm.go", "");
    let calm = place.run(run_args(&url, &elements(), "calm")).exits(0).json();
    assert_eq!(calm, Value::from_iter((0..CHILDREN).map(expected)));

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = runtime.block_on(support::clients(&url)).store;
    let mut scene = Scene { place, runtime, store, root: Root::new("", "") };
    let mut driver = scene.drive(&run_args(&url, &elements(), "wild"));
    let id = scene.until_begun(&url);
    for number in 0..KILLS {
        if number == ENDPOINT_DIES {
            served.end(Signal::SIGKILL);
            served = endpoint(&scene.place, Some(address));
        }
        let moment = Moment::draw(&mut dice, number);
        scene.wait_for(&moment, &mut driver);
        std::thread::sleep(Duration::from_micros(dice.below(20_000)));
        slay(driver);
        driver = scene.drive(&["resume", &id, "--endpoint", &url]);
    }
    slay(driver);
    scene.place.write("wild.go", "");
    let ran = scene.place.run(["resume", &id, "--endpoint", &url, "--format", "json"]).exits(0);
    assert_eq!(ran.json(), calm, "seed {seed}");
    scene.check_jobs(&url, &id);
    scene.check_runs();
    served.end(Signal::SIGTERM);
}

impl Scene {
    /// Waits until the second execution is in the journal, and returns its id.
    fn until_begun(&mut self, url: &str) -> String {
        let begun = Instant::now();
        loop {
            let listed = Ran::of(self.place.command(["list", "--endpoint", url, "--format", "json"]).output().unwrap());
            let ids: Vec<String> = listed.exits(0).out.lines().map(id_of).collect();
            if let [id, _] = ids.as_slice() {
                self.root = Root::new("", id);
                if self.records() > 0 {
                    return id.clone();
                }
            }
            assert!(begun.elapsed() < PATIENCE, "no execution begins: {}", self.place.read("driver.log"));
        }
    }

    /// No job is left, no job was made twice.
    fn check_jobs(&self, url: &str, id: &str) {
        let jobs = self.runtime.block_on(jobs(url));
        let left: Vec<_> =
            jobs.iter().filter(|(_, status)| !matches!(status, JobStatus::Succeeded | JobStatus::Failed)).collect();
        assert!(left.is_empty(), "orphans: {left:?}");
        let mut names = BTreeSet::new();
        let own: Vec<&str> =
            jobs.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with(&job_name_prefix(id))).collect();
        assert!(own.len() > 15, "many arrays: {own:?}");
        for name in own {
            assert!(names.insert(name), "{name} was submitted twice");
        }
    }

    /// Every child began as often as it had reason to: only the death of the endpoint gives a child one more.
    fn check_runs(&self) {
        let (calm, wild) = (self.runs("calm"), self.runs("wild"));
        assert!(calm.iter().all(|(x, count)| *count == runs_due(*x)), "{calm:?}");
        assert_eq!((calm.len() as u64, wild.len() as u64), (CHILDREN, CHILDREN));
        let more: Vec<u64> = wild.iter().filter(|(x, count)| **count > runs_due(**x)).map(|(x, _)| *x).collect();
        assert!(more.len() as u64 <= SLOTS, "ran again without need: {more:?}");
        assert!(wild[&LAST] <= 2);
    }
}

fn id_of(line: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
}
