//! What should happen: pure decisions. No async, clock, environment, files or SDK.

pub mod bitset;
pub mod index;
pub mod layout;
pub mod plan;
pub mod ranges;
pub mod ratio;
pub mod task;
