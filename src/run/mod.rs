//! Make it happen: the async side of an execution.

pub mod bound;
pub mod files;
pub mod source;
pub mod stage;
