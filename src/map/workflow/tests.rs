//! The workflow's room as its users see it.

mod aborting;
mod binding;
mod branching;
mod compiling;
mod failing;
mod given;
mod hostile;
mod property;
mod refusing;
mod running;
mod samples;
mod world;
