//! The command line: one file a command; the only room that prints.

pub mod config;
pub mod task_args;
