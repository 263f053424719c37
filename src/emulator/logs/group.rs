//! Log groups: a directory each, with what was said of it in a file of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::store::{LogStore, decode, encode};

/// The file of a group's settings: no stream's file ends so.
const SETTINGS: &str = "group.json";

/// What is known of a group beside its streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Settings {
    /// When it was made, milliseconds since 1970.
    pub(super) creation_time: u64,
    /// Kept and shown; nothing is deleted by it.
    pub(super) retention_in_days: Option<i64>,
    pub(super) log_group_class: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) deletion_protection_enabled: Option<bool>,
    pub(super) tags: BTreeMap<String, String>,
}

/// Milliseconds since 1970.
pub(super) fn ms(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

impl LogStore {
    fn folder(&self, group: &str) -> PathBuf {
        self.dir.join(encode(group))
    }

    /// The groups, in order of name.
    pub(super) fn groups(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut groups = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                groups.push(decode(&entry.file_name().to_string_lossy()));
            }
        }
        groups.sort();
        Ok(groups)
    }

    /// Whether there is such a group: one that was made, or written to.
    pub(super) fn has(&self, group: &str) -> bool {
        self.folder(group).is_dir()
    }

    /// A group's settings; `None` without the group.
    pub(super) fn settings(&self, group: &str) -> io::Result<Option<Settings>> {
        let folder = self.folder(group);
        match fs::read(folder.join(SETTINGS)) {
            Ok(json) => return Ok(Some(serde_json::from_slice(&json)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        match fs::metadata(folder) {
            Ok(found) => {
                let made = found.created().or_else(|_| found.modified()).map_or(0, ms);
                Ok(Some(Settings { creation_time: made, ..Settings::default() }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a group's settings, and makes the group when there is none.
    pub(super) fn set(&self, group: &str, settings: &Settings) -> io::Result<()> {
        let folder = self.folder(group);
        fs::create_dir_all(&folder)?;
        let aside = folder.join(format!("{SETTINGS}.new"));
        let mut file = File::create(&aside)?;
        file.write_all(&serde_json::to_vec(settings)?)?;
        file.sync_all()?;
        fs::rename(aside, folder.join(SETTINGS))
    }

    /// Removes a group and its streams.
    pub(super) fn remove(&self, group: &str) -> io::Result<()> {
        fs::remove_dir_all(self.folder(group))
    }

    /// Bytes of a group's streams.
    pub(super) fn bytes(&self, group: &str) -> io::Result<u64> {
        let streams = self.streams(group, "")?;
        streams.iter().map(|stream| Ok(self.open(group, stream)?.length)).sum()
    }
}
