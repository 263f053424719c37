//! Finding executions by id.

use super::Failure;
use super::session::Session;
use crate::map::layout::{Root, executions_prefix};
use crate::run::journal::JournalError;
use crate::run::launch::{self, Known, LaunchError};

/// How many of the newest executions a wrong id is answered with.
const SUGGESTED: usize = 3;

/// The ids of every execution, the newest first.
///
/// # Errors
/// When the bucket cannot be listed.
pub async fn ids(session: &Session) -> Result<Vec<String>, Failure> {
    let mut ids = session.ports.store.list_directories(&executions_prefix(&session.prefix)).await?;
    ids.sort_unstable_by(|a, b| b.cmp(a));
    Ok(ids)
}

/// The execution that `id` names: whole, by an unambiguous beginning, or the newest when absent.
///
/// # Errors
/// When there is none, or several.
pub async fn find(session: &Session, id: Option<&str>) -> Result<Root, Failure> {
    let ids = ids(session).await?;
    let place = session.place();
    let Some(id) = id else {
        return match newest_begun(session, &ids).await? {
            Some(newest) => Ok(newest),
            None => Err(Failure::input(format!("there is no execution in {place} yet; start one with `batchmap run`"))),
        };
    };
    let matching: Vec<&String> = ids.iter().filter(|known| known.starts_with(id)).collect();
    match matching.as_slice() {
        [one] => Ok(session.root(one)),
        several if several.iter().any(|known| *known == id) => Ok(session.root(id)),
        [] => {
            let newest: Vec<&str> = ids.iter().take(SUGGESTED).map(String::as_str).collect();
            let known = match newest.as_slice() {
                [] => "there is none yet".to_owned(),
                newest => format!("the newest are {}", newest.join(", ")),
            };
            Err(Failure::input(format!("ID is {id:?}: there is no such execution in {place}; {known}")))
        }
        several => Err(Failure::input(format!(
            "ID is {id:?}: {} executions in {place} begin so; give more of it",
            several.len()
        ))),
    }
}

/// The newest execution that was begun. Staging that was given up for a fault in the data leaves packs behind, and with
/// them an id that nothing ever ran under.
async fn newest_begun(session: &Session, ids: &[String]) -> Result<Option<Root>, Failure> {
    for id in ids {
        let root = session.root(id);
        if has_begun(session, &root).await? {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

/// Reads an execution without touching it.
///
/// # Errors
/// When there is none, or it cannot be read; of one that is damaged, what is left of it.
pub async fn read(session: &Session, root: &Root) -> Result<Known, Failure> {
    launch::read(&session.ports.store, root).await.map_err(|error| damaged(session, root, error))
}

/// What is to be said of an execution that cannot be read: which one it is, and what can be done.
pub fn damaged(session: &Session, root: &Root, error: LaunchError) -> Failure {
    let is_damage = match &error {
        LaunchError::Unreadable { .. } | LaunchError::Illegal(_) => true,
        LaunchError::Journal(error) => matches!(error, JournalError::Unreadable { .. } | JournalError::Gap { .. }),
        LaunchError::Unknown { .. } | LaunchError::NeverBegun { .. } | LaunchError::Store(_) => false,
    };
    let failure = Failure::from(error);
    if !is_damage {
        return failure;
    }
    let (id, bucket) = (root.id(), session.ports.store.bucket());
    let message = format!(
        "execution {id} is damaged, or of another version of batchmap: {}; what its subtasks have left is still in \
         s3://{bucket}/{}",
        failure.message,
        root.subtasks()
    );
    Failure { message, ..failure }
}

/// Whether anything ever ran under an execution's id.
///
/// # Errors
/// When the bucket cannot be listed.
pub async fn has_begun(session: &Session, root: &Root) -> Result<bool, Failure> {
    Ok(!session.ports.store.list(&root.journal(), None).await?.objects.is_empty())
}

/// The newest execution that is not over, or the one that `id` names.
///
/// # Errors
/// When there is none, or `id` names none or several.
pub async fn find_unfinished(session: &Session, id: Option<&str>) -> Result<Root, Failure> {
    if id.is_some() {
        return find(session, id).await;
    }
    for id in ids(session).await? {
        let root = session.root(&id);
        let known = launch::read(&session.ports.store, &root).await;
        // One that cannot be read, or was never begun, cannot be taken up either.
        if known.is_ok_and(|known| known.names.is_some() && known.execution.finished().is_none()) {
            return Ok(root);
        }
    }
    Err(Failure::input(format!("every execution in {} is over: there is nothing to take up", session.place())))
}
