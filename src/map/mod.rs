//! What should happen: pure decisions. No async, clock, environment, files or SDK.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod bitset;
pub mod cache;
pub mod cadence;
pub mod event;
pub mod execution;
pub mod exit;
pub mod flyte;
pub mod index;
pub mod inject;
pub mod layout;
pub mod pack;
pub mod plan;
pub mod policy;
pub mod ranges;
pub mod ratio;
pub mod resources;
pub mod spec;
pub mod status;
pub mod stuck;
pub mod summary;
pub mod task;
pub mod template;
pub mod workflow;
