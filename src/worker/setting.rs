//! What the environment says of a child: which execution, which array, which place in it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::str::FromStr;

use crate::map::index::{ChildIndex, OriginalIndex};
use crate::map::layout::{self, ENV_ARRAY, ENV_EXECUTION, ENV_INPUTS, ENV_PLACE, ENV_WIDTH, Place, Root};

/// Which child of its array this is; Batch sets it for children of arrays only.
const ARRAY_INDEX: &str = "AWS_BATCH_JOB_ARRAY_INDEX";
/// Which of its attempts this is, from 1.
const JOB_ATTEMPT: &str = "AWS_BATCH_JOB_ATTEMPT";
/// The id of the child's job, by which an error document names its writer.
const JOB_ID: &str = "AWS_BATCH_JOB_ID";

/// What the environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The bucket of everything.
    pub bucket: String,
    /// The execution's keys in it.
    pub root: Root,
    /// The keys of the execution whose packs it reads: its own, or one that this one has recovered.
    pub inputs: Root,
    /// Number of the array.
    pub array: u32,
    /// How the element is found.
    pub place: Place,
    /// Bytes of one entry of a pack's index.
    pub width: u64,
    /// Which child; the first where there is no array.
    pub child: ChildIndex,
    /// Whether there is no array index: a plain job.
    pub plain: bool,
    /// The attempt's name in S3.
    pub attempt: String,
    /// The job's id, or empty.
    pub worker: String,
}

impl Setting {
    /// Reads the environment.
    ///
    /// # Errors
    /// When a variable that the driver sets is missing or of another form; the message names it.
    pub(super) fn read(environment: &BTreeMap<OsString, OsString>) -> Result<Self, String> {
        let variables = Variables(environment);
        let (bucket, root) = Root::parse(&variables.required(ENV_EXECUTION)?)?;
        let inputs = variables.text(ENV_INPUTS)?.map_or_else(|| root.clone(), |id| root.sibling(&id));
        let array = variables.parsed(ENV_ARRAY)?;
        let child = variables.optional(ARRAY_INDEX)?;
        let batch_attempt = variables.optional(JOB_ATTEMPT)?.unwrap_or(1);
        Ok(Setting {
            bucket,
            root,
            inputs,
            array,
            place: variables.required(ENV_PLACE)?.parse()?,
            width: variables.parsed(ENV_WIDTH)?,
            child: ChildIndex(child.unwrap_or(0)),
            plain: child.is_none(),
            attempt: layout::attempt(array, batch_attempt),
            worker: variables.text(JOB_ID)?.unwrap_or_default(),
        })
    }

    /// The original index, where the array is a range and it is known from the start.
    pub(super) fn index(&self) -> Option<OriginalIndex> {
        match self.place {
            Place::Range { first, .. } => Some(OriginalIndex(first.0 + u64::from(self.child.0))),
            Place::List => None,
        }
    }
}

struct Variables<'a>(&'a BTreeMap<OsString, OsString>);

impl Variables<'_> {
    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let value = self.0.get(OsStr::new(name));
        let text = |value: &OsString| value.to_str().map(str::to_owned);
        value.map(|value| text(value).ok_or_else(|| format!("{name} is no UTF-8: {value:?}"))).transpose()
    }

    fn required(&self, name: &str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| {
            format!("{name} is not set; `batchmap worker` runs inside a job that `batchmap run` submits, which sets it")
        })
    }

    fn parsed<T: FromStr>(&self, name: &str) -> Result<T, String> {
        number(name, &self.required(name)?)
    }

    fn optional(&self, name: &str) -> Result<Option<u32>, String> {
        self.text(name)?.map(|text| number(name, &text)).transpose()
    }
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} is {text:?}; expected a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(changes: &[(&str, Option<&str>)]) -> BTreeMap<OsString, OsString> {
        let mut environment: BTreeMap<OsString, OsString> = [
            (ENV_EXECUTION, "s3://bucket/p/executions/e1"),
            (ENV_ARRAY, "4"),
            (ENV_PLACE, "range:2:7:20007"),
            (ENV_WIDTH, "12"),
            (ARRAY_INDEX, "5"),
            (JOB_ATTEMPT, "3"),
            (JOB_ID, "job:5"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        for (name, value) in changes {
            environment.remove(OsStr::new(name));
            environment.extend(value.map(|value| (name.into(), value.into())));
        }
        environment
    }

    #[test]
    fn a_child_of_a_range() {
        let setting = Setting::read(&environment(&[])).unwrap();
        assert_eq!(
            (setting.bucket.as_str(), setting.root.id(), setting.attempt.as_str()),
            ("bucket", "e1", "000004-03")
        );
        assert_eq!(setting.index(), Some(OriginalIndex(20_012)));
        assert!(!setting.plain);
    }

    #[test]
    fn packs_may_be_another_executions() {
        let of = |inputs: Option<&str>| Setting::read(&environment(&[(ENV_INPUTS, inputs)])).unwrap();
        assert_eq!(of(None).inputs.pack(2), "p/executions/e1/inputs/000002.pb");
        assert_eq!(of(Some("e0")).inputs.pack(2), "p/executions/e0/inputs/000002.pb");
        assert_eq!(of(Some("e0")).root.id(), "e1");
    }

    #[test]
    fn a_plain_job() {
        let setting = Setting::read(&environment(&[(ARRAY_INDEX, None), (JOB_ATTEMPT, None), (JOB_ID, None)])).unwrap();
        assert!(setting.plain);
        assert_eq!((setting.child, setting.attempt.as_str()), (ChildIndex(0), "000004-01"));
    }

    #[test]
    fn a_compacted_array_does_not_know_the_index_yet() {
        assert_eq!(Setting::read(&environment(&[(ENV_PLACE, Some("list"))])).unwrap().index(), None);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for name in [ENV_EXECUTION, ENV_ARRAY, ENV_PLACE, ENV_WIDTH] {
            for value in [None, Some("x")] {
                let message = Setting::read(&environment(&[(name, value)])).unwrap_err();
                assert!(message.contains(name), "{message}");
            }
        }
        for name in [ARRAY_INDEX, JOB_ATTEMPT] {
            assert!(Setting::read(&environment(&[(name, Some("-1"))])).unwrap_err().contains(name));
        }
    }
}
