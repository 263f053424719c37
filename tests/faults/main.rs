//! Drills: each fault of the emulator, seen by AWS's own clients, and `batchmap run` through it.
//!
//! Nothing here depends on time: a fault that lasts is set for hours, and taken away when it has been seen.

#[allow(dead_code, reason = "the tests of the command line use all of it")]
#[path = "../cli/place.rs"]
mod place;

#[path = "../support/emulator.rs"]
mod emulator;

#[path = "../support/skip.rs"]
mod skip;

mod admin;
mod command;
mod drill;
mod jobs;
mod journal;
mod port;
mod requests;
mod through;
