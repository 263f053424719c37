//! Executions of workflows: which there are, which go, and their removal.
//!
//! A workflow's name is its client's choice, and may be asked for again at any time. So the record goes last of all; before
//! anything else it is overwritten by one that says that the execution is being removed, which is no execution to anybody
//! and still has its name. What a removal that is broken off leaves is such a record, and the next run goes on from it.
//!
//! An execution that recovers another one copies values of it, in its own time, and makes sure after each that the other
//! one's record is still there. This looks the other way round: it overwrites the record, and looks then for executions
//! that have come meanwhile. One of the two sees the other.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;

use super::pages::{self, pages};
use super::survey::{Standing, State};
use super::{AT_ONCE, Amount, Gc, Kept, Removed, Why};
use crate::aws::store::{Listed, Store, StoreError};
use crate::idl::core::WorkflowExecutionIdentifier;
use crate::idl::record::FlowRecord;
use crate::map::layout::flyte::{FlyteRoot, REMOVED_VERSION, unescape};
use crate::map::workflow::{FlowEvent, FlowOutcome};
use crate::run::flow::{LogError, Record, Stored, ViewError, created_ms, read_flow, read_log};

/// An execution's project, domain and name.
pub(super) type FlowKey = (String, String, String);

/// One execution of a workflow, as it was found.
#[derive(Clone, Debug)]
pub(super) struct FoundFlow {
    standing: Standing,
    /// When its last record was written or, without a journal, its newest object; by the store's clock.
    newest_ms: u64,
    /// When it was made, by its server's clock: its entry in the index is found by it.
    created_ms: Option<u64>,
    /// The map executions that run, or ran, its nodes.
    executions: BTreeSet<String>,
    /// The execution that it takes values from, while it is not over.
    recovers: Option<FlowKey>,
}

pub(super) fn id_of(key: &FlowKey) -> WorkflowExecutionIdentifier {
    let (project, domain, name) = key.clone();
    WorkflowExecutionIdentifier { project, domain, name, ..Default::default() }
}

fn key_of(id: &WorkflowExecutionIdentifier) -> FlowKey {
    (id.project.clone(), id.domain.clone(), id.name.clone())
}

fn shown((project, domain, name): &FlowKey) -> String {
    format!("{project}/{domain}/{name}")
}

/// Every domain in which there are executions.
async fn domains(store: &dyn Store, root: &FlyteRoot) -> Result<Vec<(String, String)>, StoreError> {
    let all = root.all_flows();
    let mut found = Vec::new();
    for project in store.list_directories(&all).await? {
        for domain in store.list_directories(&format!("{all}{project}/")).await? {
            // What no server has written is none of ours.
            found.extend(unescape(&project).zip(unescape(&domain)));
        }
    }
    Ok(found)
}

/// Looks at one; nothing where there is none (yet).
async fn look(store: &dyn Store, root: &FlyteRoot, key: &FlowKey) -> Result<Option<FoundFlow>, StoreError> {
    let id = id_of(key);
    let flow = root.flow(&id);
    let (records, mut newest_ms) = pages::newest(store, flow.journal()).await?;
    if records == 0 {
        let (objects, newest) = pages::newest(store, flow.everything()).await?;
        if objects == 0 {
            return Ok(None);
        }
        newest_ms = newest;
    }
    let mut found = FoundFlow {
        standing: Standing::HalfRemoved,
        newest_ms,
        created_ms: None,
        executions: BTreeSet::new(),
        recovers: None,
    };
    match read_flow(store, &flow, &id).await {
        Ok(stored) => found.take(stored),
        Err(ViewError::Unknown { .. }) => {
            found.created_ms = buried(store, &flow.spec()).await?;
            // As far as it is still there: what is missing has led to all that it names before.
            match read_log(store, &flow, 1).await {
                Ok(records) => found.executions = executions(&records),
                Err(LogError::Store(error)) => return Err(error),
                Err(_) => {}
            }
        }
        Err(ViewError::Store(error) | ViewError::Log(LogError::Store(error))) => return Err(error),
        Err(error) => found.standing = Standing::Unreadable(error.to_string()),
    }
    Ok(Some(found))
}

impl FoundFlow {
    /// Executions that one which is not over needs: the one that it recovers, and those that its nodes have made of launch
    /// plans, whose names stand where others have map executions.
    fn uses<'f>(&'f self, own: &'f FlowKey) -> impl Iterator<Item = FlowKey> + 'f {
        let (project, domain, _) = own;
        let made = self.executions.iter().map(|name| (project.clone(), domain.clone(), name.clone()));
        let all = made.chain(self.recovers.clone());
        all.filter(|_| self.standing == Standing::Running)
    }

    fn take(&mut self, stored: Stored) {
        self.standing = match stored.flow.finished() {
            None => Standing::Running,
            Some(FlowOutcome::Succeeded) => Standing::Still(State::Succeeded),
            Some(FlowOutcome::Failed { .. }) => Standing::Still(State::Failed),
            Some(FlowOutcome::Aborted { .. }) => Standing::Still(State::Aborted),
        };
        self.created_ms = Some(created_ms(&stored.record));
        self.executions = executions(&stored.records);
        let recovers = stored.record.recovers.as_ref().filter(|_| self.standing == Standing::Running);
        self.recovers = recovers.map(key_of);
    }
}

fn executions(records: &[Record]) -> BTreeSet<String> {
    let events = records.iter().flat_map(|record| &record.events);
    let started = events.filter_map(|event| match event {
        FlowEvent::NodeStarted { execution, .. } => execution.clone(),
        _ => None,
    });
    started.collect()
}

/// When an execution was made whose removal was broken off.
async fn buried(store: &dyn Store, spec: &str) -> Result<Option<u64>, StoreError> {
    match store.get(spec).await {
        Ok(body) => Ok(FlowRecord::decode(body).ok().map(|record| created_ms(&record))),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Gc<'_> {
    /// Looks at every execution of a workflow.
    pub(super) async fn survey_flows(&mut self) -> Result<(), StoreError> {
        let store = self.store.as_ref();
        let mut keys = Vec::new();
        for (project, domain) in domains(store, &self.flyte).await? {
            let names = store.list_directories(&self.flyte.flows(&project, &domain)).await?;
            let names = names.iter().filter_map(|name| unescape(name));
            keys.extend(names.map(|name| (project.clone(), domain.clone(), name)));
        }
        self.look_at_flows(keys).await.map(drop)
    }

    async fn look_at_flows(&mut self, keys: Vec<FlowKey>) -> Result<Vec<FlowKey>, StoreError> {
        let (store, root) = (self.store.as_ref(), &self.flyte);
        let looks = keys.into_iter().map(|key| async move { Ok((look(store, root, &key).await?, key)) });
        let found: Vec<(Option<FoundFlow>, FlowKey)> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        let found: Vec<(FlowKey, FoundFlow)> =
            found.into_iter().filter_map(|(found, key)| Some((key, found?))).collect();
        let keys = found.iter().map(|(key, _)| key.clone()).collect();
        self.flows.extend(found);
        Ok(keys)
    }

    /// Chooses what goes by age and state, but for what one that runs recovers, and what has a node that is not over.
    pub(super) fn choose_flows(&mut self) {
        let uses = self.flows.iter().flat_map(|(key, flow)| flow.uses(key).map(move |used| (used, key)));
        let used: BTreeMap<FlowKey, &FlowKey> = uses.collect();
        let mut chosen = BTreeSet::new();
        let mut kept = Vec::new();
        for (key, flow) in &self.flows {
            match self.reason_to_keep_flow(flow) {
                Some(why) => kept.push(Kept { id: shown(key), why }),
                None => match used.get(key) {
                    Some(by) => kept.push(Kept { id: shown(key), why: Why::UsedBy(shown(by)) }),
                    None => drop(chosen.insert(key.clone())),
                },
            }
        }
        self.report.kept.extend(kept);
        self.chosen_flows = chosen;
        let owners =
            self.flows.iter().flat_map(|(key, flow)| flow.executions.iter().map(|id| (id.clone(), key.clone())));
        self.owners = owners.collect();
    }

    fn reason_to_keep_flow(&self, flow: &FoundFlow) -> Option<Why> {
        let state = match &flow.standing {
            Standing::Running => return Some(Why::NotOver),
            Standing::HalfRemoved => return None,
            Standing::Unreadable(problem) if !self.options.damaged => return Some(Why::Unreadable(problem.clone())),
            Standing::Unreadable(_) => State::Damaged,
            Standing::Still(state) => *state,
        };
        if !self.is_old(flow.newest_ms, self.options.older_than) {
            return Some(Why::Young);
        }
        let at_work = |id: &String| self.found.get(id).is_some_and(|found| found.standing == Standing::Running);
        if flow.executions.iter().any(at_work) {
            return Some(Why::NotOver);
        }
        let asked = state == State::Damaged || self.options.states.contains(&state);
        (!asked).then_some(Why::State(state))
    }

    /// Why a map execution that ran a node stays, as far as its workflow decides; `Some(None)` is that it goes with it.
    pub(super) fn by_its_flow(&self, id: &str) -> Option<Option<Why>> {
        match self.owners.get(id) {
            Some(owner) if self.chosen_flows.contains(owner) => Some(None),
            Some(_) => Some(Some(Why::OfWorkflow)),
            // One that cannot be read does not say which are its own.
            None => {
                let unreadable = |(key, flow): (&FlowKey, &FoundFlow)| {
                    matches!(flow.standing, Standing::Unreadable(_)) && !self.chosen_flows.contains(key)
                };
                self.flows.iter().any(unreadable).then_some(Some(Why::OfWorkflow))
            }
        }
    }

    /// Whether a map execution ran a node of a workflow.
    pub(super) fn is_owned(&self, id: &str) -> bool {
        self.owners.contains_key(id)
    }

    /// Takes the name of every chosen execution from it, but for those that have changed or are needed since.
    pub(super) async fn bury_flows(&mut self) -> Result<(), StoreError> {
        let before = self.chosen.clone();
        let mut spared = Vec::new();
        for key in self.chosen_flows.clone().into_iter().rev() {
            if let Some(why) = self.bury(&key).await? {
                self.report.kept.push(Kept { id: shown(&key), why });
                self.spare(&key);
                spared.push(key);
            }
        }
        if spared.is_empty() {
            return Ok(());
        }
        // What stays after all names files, too.
        self.keep_what_is_relied_on();
        for key in spared {
            self.read_names_of_flow(&key).await?;
        }
        for id in before.difference(&self.chosen.clone()) {
            self.read_names_of(id).await?;
        }
        Ok(())
    }

    /// Takes one back out of those that are to go, with its nodes' map executions.
    fn spare(&mut self, key: &FlowKey) {
        self.chosen_flows.remove(key);
        let own = self.flows.get(key).map(|flow| flow.executions.clone()).unwrap_or_default();
        for id in own {
            if self.chosen.remove(&id) {
                self.report.kept.push(Kept { id, why: Why::OfWorkflow });
            }
        }
    }

    async fn bury(&mut self, key: &FlowKey) -> Result<Option<Why>, StoreError> {
        let id = id_of(key);
        let spec = self.flyte.flow(&id).spec();
        let listed = self.store.list(&spec, None).await?.objects.into_iter().find(|object| object.key == spec);
        let Some(listed) = listed else { return Ok(None) };
        // Its size as it is now, and not that of what is written over it.
        self.specs.insert(key.clone(), listed);
        let Some(before) = self.flows.get(key).cloned() else { return Ok(Some(Why::Changed)) };
        if before.standing == Standing::HalfRemoved {
            return Ok(None);
        }
        let now = look(self.store.as_ref(), &self.flyte, key).await?;
        if now.is_none_or(|now| now.standing != before.standing || now.newest_ms != before.newest_ms) {
            return Ok(Some(Why::Changed));
        }
        if self.options.dry_run {
            return Ok(None);
        }
        let body = self.store.get(&spec).await?;
        let mark = FlowRecord {
            version: REMOVED_VERSION,
            id: Some(id),
            created_at: FlowRecord::decode(body.clone()).ok().and_then(|record| record.created_at),
            ..FlowRecord::default()
        };
        self.store.put(&spec, Bytes::from(mark.encode_to_vec())).await?;
        let new = self.look_for_new_flows().await?;
        let user =
            new.into_iter().find(|new| self.flows.get(new).is_some_and(|flow| flow.recovers.as_ref() == Some(key)));
        match user {
            None => Ok(None),
            Some(user) => {
                self.store.put(&spec, body).await?;
                Ok(Some(Why::UsedBy(shown(&user))))
            }
        }
    }

    /// Looks at executions that have come since, which stay: the index has the newest first, so that a page of it for each
    /// domain has them all.
    pub(super) async fn look_for_new_flows(&mut self) -> Result<Vec<FlowKey>, StoreError> {
        let mut new = Vec::new();
        for (project, domain) in domains(self.store.as_ref(), &self.flyte).await? {
            let page = self.store.list(&self.flyte.index(&project, &domain), None).await?;
            let names = page.objects.iter().filter_map(|entry| self.flyte.indexed(&project, &domain, &entry.key));
            let keys = names.map(|name| (project.clone(), domain.clone(), name));
            new.extend(keys.filter(|key| !self.flows.contains_key(key)));
        }
        let new = self.look_at_flows(new).await?;
        for key in &new {
            let flow = &self.flows[key];
            self.owners.extend(flow.executions.iter().map(|id| (id.clone(), key.clone())));
        }
        self.report.kept.extend(new.iter().map(|key| Kept { id: shown(key), why: Why::Young }));
        Ok(new)
    }

    /// Reads which files the values of executions that stay name.
    pub(super) async fn read_names_of_flows(&mut self) -> Result<(), StoreError> {
        let kept: Vec<FlowKey> = self.flows.keys().filter(|key| !self.chosen_flows.contains(*key)).cloned().collect();
        for key in kept {
            self.read_names_of_flow(&key).await?;
        }
        Ok(())
    }

    /// Everything but its journal: there are no values in that.
    pub(super) async fn read_names_of_flow(&mut self, key: &FlowKey) -> Result<(), StoreError> {
        let root = self.flyte.flow(&id_of(key));
        let journal = root.journal();
        self.read_names_under(root.everything(), |object| !object.key.starts_with(&journal)).await.map(drop)
    }

    /// Removes what is left of the chosen ones: their nodes' map executions have gone before, as far as nobody needs them.
    pub(super) async fn remove_flows(&mut self) -> Result<(), StoreError> {
        for key in self.chosen_flows.clone().into_iter().rev() {
            let mut amount = Amount::default();
            let (id, found) = (id_of(&key), self.flows.get(&key).cloned());
            let root = self.flyte.flow(&id);
            let (journal, spec) = (root.journal(), root.spec());
            self.remove_under(root.everything(), &mut amount, |object| {
                object.key.starts_with(&journal) || object.key == spec
            })
            .await?;
            let mut marks = vec![self.flyte.running(&id)];
            marks.extend(self.entry_of(&id, found.as_ref().and_then(|found| found.created_ms)).await?);
            for mark in marks {
                self.remove_under(mark.clone(), &mut amount, |object| object.key != mark).await?;
            }
            self.remove_under(journal, &mut amount, |_| false).await?;
            // The name last: from now on it may be given again.
            if let Some(listed) = self.specs.remove(&key) {
                self.remove_objects(std::slice::from_ref(&listed)).await?;
                amount.add(&listed);
            }
            let state = match found.map(|found| found.standing) {
                Some(Standing::Still(state)) => Some(state),
                Some(Standing::Unreadable(_)) => Some(State::Damaged),
                _ => None,
            };
            self.report.workflows.push(Removed { id: shown(&key), state, amount, named: Amount::default() });
        }
        Ok(())
    }

    /// The key of an execution's entry in the index; looked for where nobody knows when it was made.
    async fn entry_of(
        &self,
        id: &WorkflowExecutionIdentifier,
        created_ms: Option<u64>,
    ) -> Result<Option<String>, StoreError> {
        if let Some(created_ms) = created_ms {
            return Ok(Some(self.flyte.index_entry(id, created_ms)));
        }
        let mut pages = pages(self.store.as_ref(), self.flyte.index(&id.project, &id.domain));
        while let Some(page) = pages.next().await? {
            let own = |entry: &Listed| {
                self.flyte.indexed(&id.project, &id.domain, &entry.key).is_some_and(|name| name == id.name)
            };
            if let Some(entry) = page.into_iter().find(own) {
                return Ok(Some(entry.key));
            }
        }
        Ok(None)
    }
}
