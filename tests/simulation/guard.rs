//! What `batchmap gc` must leave alone, and what it does here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use batchmap::aws::store::{Store, StoreError};
use batchmap::idl::record::TaskRecord;
use batchmap::run::gc::{self, Options, State};
use prost::Message;

use crate::cloud::{Cloud, EPOCH_MS, Inside};
use crate::script::{SECOND, Script};
use crate::values::at_once;
use crate::wire::Wire;

/// How often it is run again when the network fails.
const TRIES: u64 = 50;

impl Inside {
    /// Panics when somebody needs what is about to be deleted.
    pub fn check_unneeded(&mut self, key: &str) {
        let after = |prefix| key.strip_prefix(prefix).and_then(|rest: &str| rest.split('/').next());
        if let Some(id) = after("executions/") {
            assert!(self.act(id).watch.is_finished(), "{key} is removed, and its execution runs");
            let by = self.acts.keys().find(|other| *other != id && self.relies_on(other, id));
            assert_eq!(by, None, "{key} is removed, and that one relies on it");
        } else if after("raw/").is_some() {
            let named = self.names(key);
            assert!(named.is_none(), "{key} is removed, and {named:?} names it");
        } else {
            assert!(after("cache/").is_some(), "{key} is nothing to remove");
            let ages = self.acts.values().filter_map(|act| act.script.gc?.cache_older_than);
            let least = ages.min().unwrap_or_else(|| panic!("{key} is removed, and no cached outputs are to go"));
            let page = at_once(self.store.list(key, None)).expect("memory tells");
            let age = page.objects.first().map(|object| EPOCH_MS + self.now - object.modified_ms);
            let late = self.acts.values().any(|act| act.script.trouble.late > 0);
            assert!(late || age.is_none_or(|age| age >= least), "{key} is removed at the age of {age:?} ms");
        }
    }

    /// Whether an execution that is there says that it needs another one.
    fn relies_on(&self, id: &str, other: &str) -> bool {
        let Ok(body) = at_once(self.store.get(&self.acts[id].script.root().task())) else { return false };
        let record = TaskRecord::decode(body).expect("a record is whole");
        record.inputs_of == other || record.relies_on.iter().any(|needed| needed == other)
    }

    /// An object that names a file: a cached output, or one of an execution that is there.
    fn names(&self, file: &str) -> Option<String> {
        let there = |id: &String| at_once(self.store.get(&self.acts[id].script.root().task())).is_ok();
        let there: BTreeSet<String> =
            self.acts.keys().filter(|id| there(id)).map(|id| format!("executions/{id}/subtasks/")).collect();
        let names = |body: &[u8]| body.windows(file.len()).any(|window| window == file.as_bytes());
        let keeps = |key: &str| {
            key.starts_with("cache/")
                || (key.ends_with("/outputs.pb") && there.iter().any(|prefix| key.starts_with(prefix.as_str())))
        };
        self.store.objects().into_iter().find(|(key, body)| keeps(key) && names(body)).map(|(key, _)| key)
    }
}

/// Runs a gc beside the execution of `script` as soon as it is time and that one has begun; not at all when it is over by
/// then. Answers with how many executions are gone.
pub async fn collect(wire: Arc<Wire>, script: Arc<Script>, cloud: Arc<Cloud>) -> u64 {
    let Some(plan) = script.gc else { return 0 };
    tokio::time::sleep(Duration::from_millis(plan.at)).await;
    loop {
        let (begun, finished) = {
            let inside = cloud.advance();
            let watch = &inside.acts[&script.id].watch;
            (watch.is_begun(), watch.is_finished())
        };
        if finished {
            return 0;
        }
        if begun {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10 * SECOND)).await;
    }
    let options = Options {
        older_than: Duration::from_millis(plan.older_than),
        states: BTreeSet::from([State::Succeeded, State::Failed, State::Aborted]),
        cache_older_than: plan.cache_older_than.map(Duration::from_millis),
        // Nothing here is: so nothing may be taken for it.
        damaged: true,
        dry_run: false,
    };
    let store: Arc<dyn Store> = wire.clone();
    for _ in 0..TRIES {
        match gc::run(&store, "", &options).await {
            Ok(report) => return report.removed.len() as u64,
            Err(StoreError::Unreachable { .. }) => tokio::time::sleep(Duration::from_millis(30 * SECOND)).await,
            Err(error) => panic!("gc: {error}"),
        }
    }
    0
}
