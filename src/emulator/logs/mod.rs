//! CloudWatch Logs, as far as reading children's output needs it: streams on disk, the calls that read and list them,
//! and groups as far as terraform makes them.

mod face;
mod group;
mod merge;
mod pattern;
mod store;

pub use self::face::answer;
pub use self::store::{LogEvent, LogPage, LogStore, LogWriter, Window};

/// The group that Batch writes to unless a definition says otherwise.
pub const GROUP: &str = "/aws/batch/job";
