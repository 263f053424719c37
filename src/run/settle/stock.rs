//! Children without a worker: what they have left in the places of their array, and how it becomes the subtasks' own.
//!
//! ```text
//! children/outputs/<k>/<job>/<child>/<attempt>/outputs.pb ──► checked ──► subtasks/<index>/outputs.pb   (If-None-Match: *)
//!                                              error.pb   ──► read where it is
//! ```
//! The outputs are there before the success is journalled, so that whoever reads an execution need not know who ran it; a
//! driver that dies in between is followed by one that finds them there. Of several attempts the first with outputs counts.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use prost::Message;

use super::report::Report;
use super::{Case, Found, SettleError, Traces};
use crate::aws::store::{Listed, StoreError};
use crate::idl::core::container_error::Kind;
use crate::idl::core::execution_error::ErrorKind;
use crate::idl::core::{ContainerError, LiteralType};
use crate::idl::record::{TaskRecord, flyte};
use crate::map::flyte::{left, stock};
use crate::map::index::{ChildIndex, OriginalIndex};
use crate::map::layout;
use crate::map::plan::{Members, Packs};
use crate::run::Ports;
use crate::run::result::declared;

/// Children listed one by one; more are found in the listing of the whole array.
const FEW: usize = 32;
/// Listings under way at once.
const LISTS_AT_ONCE: usize = 16;
/// Outputs taken up at once.
const AT_ONCE: usize = 64;
/// The same of those above [`LARGE`] bytes: they are held in memory.
const LARGE_AT_ONCE: usize = 2;
const LARGE: u64 = 1 << 20;
/// A page above this size is left where it is.
const LARGEST_DECK: u64 = 16 << 20;

/// What is particular about an array whose children have no worker.
pub struct Stock {
    /// Every output that is due.
    declared: BTreeMap<String, LiteralType>,
    /// Whether each attempt has a place of its own, told from those of other jobs.
    shell: bool,
    /// What a child without a shell adds to its number in the name of its place.
    offset: u32,
}

/// What a child has left, besides error documents.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
    /// The lowest attempt with outputs: its place, and the size of the outputs.
    outputs: Option<(u32, Listed)>,
    /// The highest attempt with an error document: its key.
    pub(super) error: Option<(u32, String)>,
    futures: bool,
    deck: BTreeMap<u32, Listed>,
}

impl Stock {
    /// That of an array of `members`; nothing where the worker runs the children.
    pub fn of(record: &TaskRecord, packs: &Packs, members: &Members) -> Option<Self> {
        let runner = stock::runner(record)?;
        let is_map = record.flyte.as_ref().is_some_and(|flyte| flyte.kind() == flyte::Kind::Map);
        let offset = if is_map { stock::offset(packs, members) } else { 0 };
        Some(Stock { declared: declared(record), shell: stock::has_shell(runner), offset })
    }
}

impl Case<'_> {
    /// What the children in question have left.
    pub(super) async fn left(
        &self,
        ports: &Ports,
        stock: &Stock,
        reports: &BTreeMap<OriginalIndex, Report>,
    ) -> Result<Traces, StoreError> {
        let mut base = self.root.children_outputs(self.number);
        if stock.shell {
            base += &format!("{}/", self.job);
        }
        let prefixes: Vec<String> = match reports.len() {
            0 => return Ok(Traces::default()),
            1..=FEW => {
                let children = reports.keys().filter_map(|index| self.array.members.child(*index));
                let added = if stock.shell { 0 } else { stock.offset };
                children.map(|child| format!("{base}{}/", child.0 + added)).collect()
            }
            _ => vec![base.clone()],
        };
        let lists = prefixes.into_iter().map(|prefix| async move { list_all(ports, &prefix).await });
        let mut lists = futures::stream::iter(lists).buffer_unordered(LISTS_AT_ONCE);
        let mut found: BTreeMap<OriginalIndex, Left> = BTreeMap::new();
        while let Some(objects) = lists.try_next().await? {
            for object in objects {
                let Some((child, attempt, name)) = stock.parse(object.key.strip_prefix(&base)) else { continue };
                let index = self.array.members.original(child).filter(|index| reports.contains_key(index));
                let Some(index) = index else { continue };
                found.entry(index).or_default().note(attempt, &name, object);
            }
        }
        let mut traces = Traces::default();
        for (&index, left) in &found {
            if left.outputs.is_some() {
                traces.outputs.insert(index);
            }
            if let Some((attempt, _)) = &left.error {
                traces.errors.insert(index, layout::attempt(self.number, *attempt));
            }
        }
        traces.left = found;
        Ok(traces)
    }

    /// Makes the outputs that are found the subtasks' own. What cannot be is a failure, in words.
    pub(super) async fn adopt(&self, ports: &Ports, stock: &Stock, found: &mut Found) -> Result<(), SettleError> {
        for (&index, _) in found.traces.left.iter().filter(|(_, left)| left.futures && left.outputs.is_none()) {
            found.documents.entry(index).or_insert_with(|| refusal(left::IS_DYNAMIC.to_owned()));
        }
        // Where none are due, nobody reads them.
        if self.outputs_due {
            let outputs =
                found.traces.left.iter().filter_map(|(index, left)| Some((*index, &left.outputs.as_ref()?.1)));
            let (large, small): (Vec<_>, Vec<_>) = outputs.partition(|(_, object)| object.size > LARGE);
            let mut refused: BTreeMap<OriginalIndex, String> = BTreeMap::new();
            for (some, at_once) in [(small, AT_ONCE), (large, LARGE_AT_ONCE)] {
                let adoptions = some.into_iter().map(|(index, object)| async move {
                    Ok::<_, StoreError>((index, self.adopt_outputs(ports, stock, index, object).await?))
                });
                let mut adoptions = futures::stream::iter(adoptions).buffer_unordered(at_once);
                while let Some((index, problem)) = adoptions.try_next().await? {
                    refused.extend(problem.map(|problem| (index, problem)));
                }
            }
            for (index, problem) in refused {
                found.traces.outputs.remove(&index);
                found.documents.insert(index, refusal(problem));
            }
        }
        self.adopt_decks(ports, &found.traces).await;
        Ok(())
    }

    /// Puts the outputs of a child where its subtask's belong; or says what is wrong with them.
    async fn adopt_outputs(
        &self,
        ports: &Ports,
        stock: &Stock,
        index: OriginalIndex,
        object: &Listed,
    ) -> Result<Option<String>, StoreError> {
        if object.size > left::MAX_OUTPUTS {
            return Ok(Some(left::too_large(object.size)));
        }
        let body = match ports.store.get(&object.key).await {
            Ok(body) => body,
            // Listed and gone: somebody cleans up. Whoever judged before has adopted it, or it is lost.
            Err(StoreError::NotFound { .. }) => return Ok(Some("its outputs were removed".to_owned())),
            Err(error) => return Err(error),
        };
        let outputs = match left::outputs(&body, &stock.declared) {
            Ok(outputs) => Bytes::from(outputs.encode_to_vec()),
            Err(problem) => return Ok(Some(problem)),
        };
        match ports.store.put_new(&self.root.outputs(index), outputs).await {
            // The first that are complete count: an earlier attempt's, or these, of a driver that died after this.
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Copies the pages of those that have succeeded. They are for people: without one nothing else is missing.
    async fn adopt_decks(&self, ports: &Ports, traces: &Traces) {
        let copies = traces.left.iter().filter_map(|(&index, left)| {
            let attempt = left.outputs.as_ref().map(|(attempt, _)| attempt)?;
            let deck = left.deck.get(attempt).filter(|deck| deck.size <= LARGEST_DECK)?;
            Some(async move {
                let copied = match ports.store.get(&deck.key).await {
                    Ok(body) => ports.store.put(&self.root.deck(index), body).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = copied {
                    tracing::warn!(%index, %error, "the deck of a subtask stays where its child has left it");
                }
            })
        });
        futures::stream::iter(copies).buffer_unordered(LARGE_AT_ONCE).collect::<Vec<()>>().await;
    }
}

impl Stock {
    /// The child, the attempt and the file's name in what follows the place of the array's outputs.
    fn parse(&self, rest: Option<&str>) -> Option<(ChildIndex, u32, String)> {
        let (child, rest) = rest?.split_once('/')?;
        let child: u32 = child.parse().ok()?;
        let (child, attempt, name) = match self.shell {
            true => {
                let (attempt, name) = rest.split_once('/')?;
                (child, attempt.parse().ok()?, name)
            }
            false => (child.checked_sub(self.offset)?, 1, rest),
        };
        Some((ChildIndex(child), attempt, name.to_owned()))
    }
}

impl Left {
    fn note(&mut self, attempt: u32, name: &str, object: Listed) {
        if name == left::OUTPUTS {
            if self.outputs.as_ref().is_none_or(|(earlier, _)| attempt < *earlier) {
                self.outputs = Some((attempt, object));
            }
        } else if left::is_error(name) {
            if self.error.as_ref().is_none_or(|(other, _)| attempt > *other) {
                self.error = Some((attempt, object.key));
            }
        } else if name == left::DECK {
            self.deck.insert(attempt, object);
        } else if name == left::FUTURES {
            self.futures = true;
        }
    }
}

/// The error of a child whose outputs cannot be taken, in the words of the worker.
fn refusal(message: String) -> ContainerError {
    ContainerError {
        code: "USER:Output".to_owned(),
        message,
        kind: Kind::NonRecoverable.into(),
        origin: ErrorKind::User.into(),
        ..ContainerError::default()
    }
}

async fn list_all(ports: &Ports, prefix: &str) -> Result<Vec<Listed>, StoreError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = ports.store.list(prefix, after.as_deref()).await?;
        after = page.objects.last().map(|object| object.key.clone());
        found.extend(page.objects);
        if !page.more || after.is_none() {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock(shell: bool, offset: u32) -> Stock {
        Stock { declared: BTreeMap::new(), shell, offset }
    }

    #[test]
    fn places_name_the_child_and_its_attempt() {
        let parsed =
            |stock: Stock, rest: &str| stock.parse(Some(rest)).map(|(child, attempt, name)| (child.0, attempt, name));
        let name = |name: &str| name.to_owned();
        assert_eq!(parsed(stock(true, 7), "12/2/outputs.pb"), Some((12, 2, name("outputs.pb"))));
        assert_eq!(parsed(stock(false, 7), "12/outputs.pb"), Some((5, 1, name("outputs.pb"))));
        for (shell, rest) in [(true, "12/outputs.pb"), (true, "x/1/outputs.pb"), (false, "6/outputs.pb"), (false, "12")]
        {
            assert_eq!(parsed(stock(shell, 7), rest), None, "{rest}");
        }
    }

    #[test]
    fn the_first_outputs_and_the_last_error_count() {
        let listed = |key: &str| Listed { key: key.to_owned(), size: 1, modified_ms: 0 };
        let mut left = Left::default();
        for (attempt, name) in [(2, "outputs.pb"), (10, "error.pb"), (1, "outputs.pb"), (9, "error-1.pb"), (3, "x")] {
            left.note(attempt, name, listed(&format!("{attempt}/{name}")));
        }
        assert_eq!(left.outputs.map(|(attempt, object)| (attempt, object.key)), Some((1, "1/outputs.pb".to_owned())));
        assert_eq!(left.error, Some((10, "10/error.pb".to_owned())));
        assert!(!left.futures);
    }
}
