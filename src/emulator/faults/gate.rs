//! Where every request passes: it may be slowed, refused, failed, or carried out and never answered.
//!
//! The choices for an operation's n-th request are hashes of the seed, the operation and n. A rate is no choice: it is
//! held against the clock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use futures::StreamExt;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;

use super::draw::Draw;
use super::operation::{self, Operation};
use super::{Faults, admin, answer};
use crate::emulator::batch::model::Input;
use crate::emulator::batch::{self, Fault};
use crate::emulator::server;

/// How long the next part of a body may take that is read only to be refused.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// The faults of an endpoint.
pub struct Gate {
    seed: u64,
    batch: Arc<batch::Service>,
    faults: RwLock<Arc<Faults>>,
    /// Changes are made one at a time.
    changing: Mutex<()>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: BTreeMap<Operation, Traffic>,
    /// How often each fault has struck.
    struck: BTreeMap<&'static str, u64>,
}

/// What an operation has seen.
#[derive(Clone, Copy, Default)]
struct Traffic {
    requests: u64,
    bucket: Option<Bucket>,
}

/// A token bucket: a request takes a token, and a second brings `rate` of them.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    Throttled,
    Failed,
    Denied,
    /// Carried out, not answered.
    Lost,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("seed", &self.seed).field("faults", &self.faults()).finish_non_exhaustive()
    }
}

impl Gate {
    /// The gate before `batch`, whose drill is set already.
    pub fn new(seed: u64, faults: Faults, batch: Arc<batch::Service>) -> Gate {
        let faults = RwLock::new(Arc::new(faults));
        Gate { seed, batch, faults, changing: Mutex::new(()), counts: Mutex::default() }
    }

    /// The seed of every choice.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What is set now.
    pub fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often each fault has struck, but for those that only delay what is told.
    pub fn struck(&self) -> BTreeMap<String, u64> {
        let mut struck = self.batch.read(|model| model.struck().clone());
        struck.extend(self.counts().struck.iter().map(|(name, times)| ((*name).to_owned(), *times)));
        struck
    }

    /// Sets what `change` makes of what is set.
    ///
    /// # Errors
    /// What `change` says; or the endpoint cannot write its state, and nothing has changed.
    pub(super) fn change<E: From<Fault>>(
        &self,
        change: impl FnOnce(&Faults) -> Result<Faults, E>,
    ) -> Result<Arc<Faults>, E> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.faults();
        let after = Arc::new(change(&before)?);
        if before.drill(self.seed) != after.drill(self.seed) {
            self.batch.change(Input::Drill(Box::new(after.drill(self.seed))))?;
        }
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&after);
        Ok(after)
    }

    /// Takes the hosts of these jobs' attempts away, or of all when none is named.
    ///
    /// # Errors
    /// A job is unknown, or the endpoint cannot write its state.
    pub(super) fn lose_hosts(&self, jobs: Vec<String>) -> Result<batch::model::Reply, Fault> {
        self.batch.change(Input::LoseHosts(jobs))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chooses for one request: how long it waits, in milliseconds, and what becomes of it.
    fn choose(&self, faults: &Faults, operation: Operation, now: Instant) -> (u64, Fate) {
        let mut counts = self.counts();
        let traffic = counts.requests.entry(operation).or_default();
        traffic.requests += 1;
        let (number, seed) = (traffic.requests, self.seed);
        // One stream of numbers for each fault, so that setting one does not move the choices of another.
        let draw = |fault: &str| Draw::of(seed, &format!("{fault}/{}", operation.name), &[number]);
        let wait_ms = faults
            .latency
            .as_ref()
            .filter(|latency| meant(&latency.operations, operation))
            .map_or(0, |latency| latency.time.draw(&mut draw("latency")));
        let throttled = faults.throttle.as_ref().filter(|throttle| meant(&throttle.operations, operation));
        let throttled = throttled.is_some_and(|throttle| {
            let share = draw("throttle").hits(throttle.share);
            share || throttle.rate.is_some_and(|rate| !traffic.admits(rate, now))
        });
        let hit =
            |name: &str, share: f64, operations: &[String]| meant(operations, operation) && draw(name).hits(share);
        let (fate, name) = if faults.denied.as_ref().is_some_and(|no| hit("denied", no.share, &no.operations)) {
            (Fate::Denied, "denied")
        } else if throttled {
            (Fate::Throttled, "throttle")
        } else if faults.error.as_ref().is_some_and(|error| hit("error", error.share, &error.operations)) {
            (Fate::Failed, "error")
        } else if faults.lost_reply.as_ref().is_some_and(|lost| hit("lost_reply", lost.share, &lost.operations)) {
            (Fate::Lost, "lost_reply")
        } else {
            (Fate::Pass, "")
        };
        for name in [name, if wait_ms > 0 { "latency" } else { "" }] {
            if !name.is_empty() {
                *counts.struck.entry(name).or_default() += 1;
            }
        }
        (wait_ms, fate)
    }
}

/// Whether a fault of these operations is about this one.
fn meant(operations: &[String], operation: Operation) -> bool {
    let named = |name: &String| name == operation.name || name == operation.service.name();
    operations.is_empty() || operations.iter().any(named)
}

impl Traffic {
    /// Whether one more request is within `rate`.
    fn admits(&mut self, rate: f64, now: Instant) -> bool {
        // At least one, or a rate below one a second would let nothing through at all.
        let most = rate.max(1.0);
        let bucket = self.bucket.get_or_insert(Bucket { tokens: most, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * rate).min(most);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

/// The answer was lost on purpose: the connection ends.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a reply was lost, as ordered")]
pub struct ReplyLost;

/// The endpoint's services behind their faults, as the server wants them.
#[derive(Clone, Debug)]
pub struct Faulty {
    inner: TowerToHyperService<Router>,
    gate: Option<Arc<Gate>>,
    asked: Arc<AtomicBool>,
    local: bool,
}

impl Faulty {
    /// `router` behind `gate`; without one, nothing goes wrong on purpose. `local` says that only this
    /// machine can reach the endpoint.
    pub fn new(router: Router, gate: Option<Arc<Gate>>, local: bool) -> Faulty {
        Faulty { inner: TowerToHyperService::new(router), gate, asked: Arc::default(), local }
    }

    /// The same for another connection, on which nothing has been asked yet.
    pub fn for_connection(&self) -> Faulty {
        Faulty { asked: Arc::default(), ..self.clone() }
    }

    /// Whether there has been any request.
    pub fn asked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, ReplyLost> {
        let Some(gate) = &self.gate else { return self.carry_out(request).await };
        if admin::is_for(request.uri().path()) {
            return Ok(admin::answer(gate, request).await);
        }
        let faults = gate.faults();
        if faults.throttle.is_none()
            && faults.error.is_none()
            && faults.denied.is_none()
            && faults.latency.is_none()
            && faults.lost_reply.is_none()
        {
            return self.carry_out(request).await;
        }
        let Some(operation) = operation::of_request(request.method(), request.uri(), request.headers()) else {
            return self.carry_out(request).await;
        };
        let (wait_ms, fate) = gate.choose(&faults, operation, Instant::now());
        if wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
        match fate {
            Fate::Pass => self.carry_out(request).await,
            Fate::Throttled | Fate::Failed | Fate::Denied => {
                // To its end, or a client that still writes would see a broken connection in place of the refusal.
                let mut body = request.into_body().into_data_stream();
                while let Ok(Some(Ok(_))) = tokio::time::timeout(BODY_PATIENCE, body.next()).await {}
                Ok(answer::refusal(operation, fate))
            }
            Fate::Lost => {
                drop(self.carry_out(request).await);
                Err(ReplyLost)
            }
        }
    }

    async fn carry_out(&self, request: Request<Body>) -> Result<Response<Body>, ReplyLost> {
        match hyper::service::Service::call(&self.inner, request).await {
            Ok(response) => Ok(response),
            Err(never) => match never {},
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Faulty {
    type Response = Response<Body>;
    type Error = ReplyLost;
    type Future = BoxFuture<'static, Result<Response<Body>, ReplyLost>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        if let Some(refusal) = server::page(request.headers(), self.local) {
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        Box::pin(self.clone().answer(request.map(Body::new)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lets_a_seconds_worth_through_at_once() {
        let (mut traffic, start) = (Traffic::default(), Instant::now());
        let admitted = |traffic: &mut Traffic, at| (0..20).filter(|_| traffic.admits(5.0, start + at)).count();
        assert_eq!(admitted(&mut traffic, Duration::ZERO), 5);
        assert_eq!(admitted(&mut traffic, Duration::from_millis(400)), 2);
        assert_eq!(admitted(&mut traffic, Duration::from_secs(60)), 5);
        let mut slow = Traffic::default();
        assert!(slow.admits(0.1, start) && !slow.admits(0.1, start));
        assert!(slow.admits(0.1, start + Duration::from_secs(11)));
    }

    #[test]
    fn operations_are_meant_by_name_or_service() {
        use crate::emulator::faults::operation::Service;
        let put = Operation { service: Service::S3, name: "PutObject" };
        let names = |given: &[&str]| given.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(meant(&[], put) && meant(&names(&["SubmitJob", "PutObject"]), put) && meant(&names(&["s3"]), put));
        assert!(!meant(&names(&["batch", "GetObject"]), put));
    }
}
