//! Flyte map tasks on AWS Batch array jobs, with no Kubernetes.
//!
//! A caller has a command and lists to map it over; batchmap stages the lists in S3, submits AWS Batch array jobs,
//! follows their children in a bitset, holds a concurrency and a minimum of successes, and returns the outputs in the
//! caller's order.
//!
//! ```text
//!  spec ─► MapTask ─► plan ─► stage (S3) ─► submit (Batch) ─► observe ─► settle ─► collect (S3) ─► outputs
//!           map/       map/     run/          run/ via aws/     run/       map/        run/
//!                       ▲                                                   │ indices to run again
//!                       └───────────────────────────────────────────────────┘
//! ```
//!
//! A Flyte workflow is driven in the same way, one map execution for each of its nodes:
//!
//! ```text
//!  pyflyte ─► service/ ─► map::workflow (graph, machine) ─► run::flow (journal, values) ─► a map execution a node
//! ```
//!
//! # Words
//!
//! | word | means |
//! | --- | --- |
//! | [`MapTask`](map::task::MapTask) | what the caller asked for: a task, mapped inputs, bound inputs, a policy |
//! | execution | one launch of a MapTask; its id sorts by time |
//! | subtask, [`OriginalIndex`](map::index::OriginalIndex) | one element of the map, and its place in the caller's list |
//! | bound input | a value that every subtask shares |
//! | [array](map::execution::Array), child, [`ChildIndex`](map::index::ChildIndex) | one submitted Batch job and its members |
//! | [pack](map::pack) | consecutive elements of the staged inputs, in one object |
//! | [verdict](map::policy::Verdict) | our judgement of a finished child |
//! | [`Flow`](map::workflow::Flow), node | one execution of a Flyte workflow, and what it runs: a task, a map or a sub-workflow |
//! | [`Event`](map::event::Event), [`Action`](map::execution::Action), [journal](run::journal) | what happened, what is to be done, and where the former is kept |
//!
//! # Rooms
//!
//! A room imports only from rooms to its left; a test reads the `use` lines:
//!
//! `idl ← map ← aws ← run ← emulator, worker, service, cli ← main`

pub mod aws;
pub mod cli;
pub mod emulator;
pub mod idl;
pub mod map;
pub mod run;
pub mod service;
pub mod worker;
