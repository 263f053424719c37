//! Removing executions by age and state, and never anything that another one needs.
//!
//! ```text
//! look at every id, and at every workflow ─► choose by age and state ─► keep what kept ones rely on ─► cache entries and leases, by age
//!   ─► which files of chosen ones do kept ones name? ─► mark chosen workflows ─► for each chosen, the newest first: look
//!   again, then remove ─► what is left of chosen workflows ─► uploads that nobody names
//! ```
//! The order of a removal: the record first, for without it nothing is an execution to any command; then everything but
//! the journal; then the files that nobody names; the journal last, for its keys are the fence that stops a driver which
//! slept all that time. What is broken off looks like nothing alive (a journal without a record), and the next run
//! finishes it, whatever its age. The newest goes first, for an execution relies on older ones only.
//!
//! In memory are a line for each execution, and the files of chosen ones that others name: 8 bytes a subtask, some more
//! for other folders. All else is a page of a listing, and `READS_AT_ONCE` objects of which 8 MiB are looked at
//! together. Objects too small to hold an address are not read.
//!
//! An execution of a workflow goes with the map executions of its nodes, whatever their own states, and one that stays
//! keeps them all (see `flows`). Registered entities never go; uploads do, when nobody names them (see `uploads`).
//!
//! Ages are differences of the store's own dates. What remains of races: an execution that is begun on an old staging in
//! the moment between the second look and the removal loses its packs and fails; and a task that makes up the address of
//! a file which no input, no output and no cache entry names has no claim to that file.

mod flows;
mod leases;
mod names;
mod pages;
mod remove;
mod survey;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
pub use survey::State;

use crate::aws::store::{Listed, Store, StoreError};
use crate::map::layout::flyte::FlyteRoot;
use crate::map::layout::{Root, cache_prefix, executions_prefix, raw_prefix};
use flows::{FlowKey, FoundFlow};
use names::{Finder, Names};
use pages::pages;
use survey::{Found, Standing};

/// Executions looked at, at once: each is held in memory meanwhile.
const AT_ONCE: usize = 16;

/// Objects read at once.
const READS_AT_ONCE: usize = 32;

/// What is to go.
#[derive(Clone, Debug)]
pub struct Options {
    /// Executions whose last record is at least this old.
    pub older_than: Duration,
    /// And that are in one of these states. What is left of removed ones goes in any case.
    pub states: BTreeSet<State>,
    /// Cached outputs that are at least this old; none when absent.
    pub cache_older_than: Option<Duration>,
    /// Executions of that age that cannot be read, too: damaged ones, and those of a newer version.
    pub damaged: bool,
    /// Only say what would go.
    pub dry_run: bool,
}

/// What a removal comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An execution that is gone or, in a dry run, would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Its id.
    pub id: String,
    /// How it had ended; absent when an earlier removal of it was broken off.
    pub state: Option<State>,
    /// What it took up.
    #[serde(flatten)]
    pub amount: Amount,
    /// Files of it that others name, and that stay.
    pub named: Amount,
}

/// An execution that stays, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// Why.
    pub why: Why,
}

/// Why an execution stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is not over: resume or abort it.
    NotOver,
    /// It is not old enough.
    Young,
    /// Its state was not asked for.
    State(State),
    /// Another one that stays reads its outputs or its inputs.
    UsedBy(String),
    /// All that is left of it are files that others name.
    Named,
    /// It cannot be read, so nothing is known of it.
    Unreadable(String),
    /// It ran a node of an execution of a Flyte workflow that stays, whose values may name its files wherever they went.
    OfWorkflow,
    /// It changed while this ran.
    Changed,
}

/// What a run has done or, in a dry run, would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Executions, the newest first.
    pub removed: Vec<Removed>,
    /// Executions of workflows: their ids are project, domain and name.
    pub workflows: Vec<Removed>,
    /// Files that clients had uploaded.
    pub uploads: Amount,
    /// Cached outputs.
    pub cache: Amount,
    /// Leases of cache keys.
    pub leases: Amount,
    /// Executions that stay, by id.
    pub kept: Vec<Kept>,
}

impl Amount {
    fn add(&mut self, object: &Listed) {
        self.objects += 1;
        self.bytes += object.size;
    }
}

/// One run over a bucket's prefix.
struct Gc<'a> {
    store: &'a Arc<dyn Store>,
    prefix: &'a str,
    options: &'a Options,
    now_ms: u64,
    finder: Finder,
    /// Every id, as it was last looked at.
    found: BTreeMap<String, Found>,
    /// Ids that are to go.
    chosen: BTreeSet<String>,
    names: Names,
    flyte: FlyteRoot,
    /// Every execution of a workflow, as it was last looked at.
    flows: BTreeMap<FlowKey, FoundFlow>,
    /// Those that are to go.
    chosen_flows: BTreeSet<FlowKey>,
    /// Whose node each map execution ran.
    owners: BTreeMap<String, FlowKey>,
    /// The records of chosen ones, as they were before they were marked.
    specs: BTreeMap<FlowKey, Listed>,
    /// Folders of uploads that are to go.
    uploads: BTreeSet<String>,
    report: Report,
}

/// Removes what `options` say of the executions under `prefix`.
///
/// # Errors
/// When S3 fails; what was begun can be finished by running it again.
pub async fn run(store: &Arc<dyn Store>, prefix: &str, options: &Options) -> Result<Report, StoreError> {
    let mut gc = Gc {
        store,
        prefix,
        options,
        now_ms: store.now().await?,
        finder: Finder::new(store.bucket(), prefix),
        found: BTreeMap::new(),
        chosen: BTreeSet::new(),
        names: Names::default(),
        flyte: FlyteRoot::new(prefix),
        flows: BTreeMap::new(),
        chosen_flows: BTreeSet::new(),
        owners: BTreeMap::new(),
        specs: BTreeMap::new(),
        uploads: BTreeSet::new(),
        report: Report::default(),
    };
    gc.survey().await?;
    // After the map executions: those of its nodes are in a workflow's journal before they begin.
    gc.survey_flows().await?;
    gc.choose_flows();
    gc.choose();
    gc.keep_what_is_relied_on();
    gc.clean_cache().await?;
    gc.clean_leases().await?;
    gc.find_uploads().await?;
    gc.names = Names::of(&gc.chosen, &gc.uploads);
    if !gc.uploads.is_empty() || gc.any_files().await? {
        gc.read_names().await?;
    }
    gc.bury_flows().await?;
    for id in gc.chosen.clone().into_iter().rev() {
        gc.remove_one(&id).await?;
    }
    gc.remove_flows().await?;
    gc.remove_uploads().await?;
    gc.report.kept.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(gc.report)
}

impl Gc<'_> {
    fn root(&self, id: &str) -> Root {
        Root::new(self.prefix, id)
    }

    fn is_old(&self, modified_ms: u64, age: Duration) -> bool {
        u128::from(self.now_ms.saturating_sub(modified_ms)) >= age.as_millis()
    }

    /// Every id that has objects.
    async fn ids(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut ids: BTreeSet<String> = BTreeSet::new();
        for prefix in [executions_prefix(self.prefix), raw_prefix(self.prefix)] {
            ids.extend(self.store.list_directories(&prefix).await?);
        }
        Ok(ids)
    }

    /// Looks at every id that was not looked at yet; answers with those.
    async fn survey(&mut self) -> Result<Vec<String>, StoreError> {
        let ids = self.ids().await?.into_iter().filter(|id| !self.found.contains_key(id));
        let roots: Vec<Root> = ids.map(|id| self.root(&id)).collect();
        let store = self.store;
        let looks = roots.into_iter().map(|root| async move { survey::look(store, &root).await });
        let found: Vec<Found> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        let new = found.iter().map(|found| found.id.clone()).collect();
        self.found.extend(found.into_iter().map(|found| (found.id.clone(), found)));
        Ok(new)
    }

    fn choose(&mut self) {
        for found in self.found.values() {
            match self.reason_to_keep(found) {
                Some(why) => self.report.kept.push(Kept { id: found.id.clone(), why }),
                None => drop(self.chosen.insert(found.id.clone())),
            }
        }
    }

    fn reason_to_keep(&self, found: &Found) -> Option<Why> {
        let state = match &found.standing {
            Standing::Running => return Some(Why::NotOver),
            Standing::Unreadable(problem) if !self.options.damaged => return Some(Why::Unreadable(problem.clone())),
            Standing::Unreadable(_) => State::Damaged,
            // Its age was looked at when its removal began.
            Standing::HalfRemoved => return None,
            Standing::Still(state) => *state,
        };
        if found.of_workflow || self.is_owned(&found.id) {
            // Where its workflow has gone, it goes by its own age.
            if let Some(why) = self.by_its_flow(&found.id) {
                return why;
            }
        }
        if !self.is_old(found.newest_ms, self.options.older_than) {
            return Some(Why::Young);
        }
        let asked = matches!(state, State::Removed | State::Damaged) || self.options.states.contains(&state);
        (!asked).then_some(Why::State(state))
    }

    /// What stays needs what it relies on, and so on.
    fn keep_what_is_relied_on(&mut self) {
        loop {
            let kept = self.found.values().filter(|found| !self.chosen.contains(&found.id));
            let needed: BTreeMap<String, String> = kept
                .flat_map(|found| found.relies_on.iter().map(|other| (other.clone(), found.id.clone())))
                .filter(|(other, _)| self.chosen.contains(other) && !self.is_gone(other))
                .collect();
            if needed.is_empty() {
                return;
            }
            for (id, by) in needed {
                self.chosen.remove(&id);
                self.report.kept.push(Kept { id, why: Why::UsedBy(by) });
            }
        }
    }

    fn is_gone(&self, id: &str) -> bool {
        self.report.removed.iter().any(|removed| removed.id == id)
    }

    /// Removes cached outputs that are too old, before the names are read: from then on nobody finds them.
    async fn clean_cache(&mut self) -> Result<(), StoreError> {
        let Some(age) = self.options.cache_older_than else { return Ok(()) };
        let store = self.store.clone();
        let mut pages = pages(store.as_ref(), cache_prefix(self.prefix));
        while let Some(mut page) = pages.next().await? {
            page.retain(|entry| self.is_old(entry.modified_ms, age));
            self.remove_objects(&page).await?;
            page.iter().for_each(|entry| self.report.cache.add(entry));
        }
        Ok(())
    }

    /// Whether anything that is to go has files that somebody might name.
    async fn any_files(&self) -> Result<bool, StoreError> {
        for id in &self.chosen {
            if !self.store.list(&self.root(id).raw(), None).await?.objects.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads which files of those that are to go the cached outputs and the executions that stay name.
    async fn read_names(&mut self) -> Result<(), StoreError> {
        let now_ms = self.now_ms;
        // In a dry run those that would go are still there.
        let old = self.options.cache_older_than.map(|age| age.as_millis());
        let stays =
            move |entry: &Listed| old.is_none_or(|age| u128::from(now_ms.saturating_sub(entry.modified_ms)) < age);
        self.read_names_under(cache_prefix(self.prefix), stays).await?;
        let kept: Vec<String> = self.found.keys().filter(|id| !self.chosen.contains(*id)).cloned().collect();
        for id in kept {
            self.read_names_of(&id).await?;
        }
        self.read_names_of_flows().await?;
        self.read_names_of_entities().await
    }

    /// Reads which files an execution names: in its record, its inputs and its outputs.
    async fn read_names_of(&mut self, id: &str) -> Result<(), StoreError> {
        let root = self.root(id);
        let task = root.task();
        self.read_names_under(task.clone(), |object| object.key == task).await?;
        let is_pack = |object: &Listed| !object.key.ends_with(".idx") && !object.key.ends_with(".keys");
        self.read_names_under(root.packs(), is_pack).await?;
        let result = root.result();
        let whole = self.read_names_under(result.clone(), |object| object.key == result).await?;
        let parts = self.read_names_under(root.result_parts(), |_| true).await?;
        // The assembled list has all that the subtasks have left, in far fewer objects.
        if whole + parts == 0 {
            self.read_names_under(root.subtasks(), |object| object.key.ends_with("/outputs.pb")).await?;
        }
        Ok(())
    }

    /// Reads the names in those objects under a prefix that are `wanted`; how many those are.
    async fn read_names_under(&mut self, prefix: String, wanted: impl Fn(&Listed) -> bool) -> Result<u64, StoreError> {
        let store = self.store.clone();
        let mut pages = pages(store.as_ref(), prefix);
        let mut count = 0;
        while let Some(mut page) = pages.next().await? {
            page.retain(&wanted);
            count += page.len() as u64;
            page.retain(|object| self.finder.may_be_in(object));
            let reads = page.iter().map(|object| self.finder.find_in(store.as_ref(), object, &self.names));
            let mut reads = stream::iter(reads).buffer_unordered(READS_AT_ONCE);
            let mut found = Vec::new();
            while let Some(names) = reads.try_next().await? {
                found.push(names);
            }
            drop(reads);
            found.into_iter().for_each(|names| self.names.extend(names));
        }
        Ok(count)
    }
}
