//! CloudWatch Logs, as far as reading children's output needs it: streams on disk and the two calls that read them.

mod face;
mod store;

pub use self::face::answer;
pub use self::store::{LogEvent, LogPage, LogStore, LogWriter, Window};

/// The group that Batch writes to unless a definition says otherwise.
pub const GROUP: &str = "/aws/batch/job";
