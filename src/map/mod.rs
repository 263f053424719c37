//! What should happen: pure decisions. No async, clock, environment, files or SDK.

pub mod index;
pub mod layout;
pub mod ratio;
pub mod task;
