//! What should happen: pure decisions. No async, clock, environment, files or SDK.

pub mod exit;
pub mod index;
pub mod layout;
pub mod pack;
pub mod ratio;
pub mod resources;
pub mod spec;
pub mod task;
pub mod template;
