//! A Flyte workflow: what it is made of, what its nodes are given, and what runs next.
//!
//! ```text
//!  CompiledWorkflowClosure ─► Graph ─► Flow ──────────────► node, by node: a map execution each
//!                             graph    next_action, handle
//!                               │
//!                               └► bind: a node's inputs from what ran before it
//! ```
//!
//! [`Graph::compile`] refuses what cannot run, everything at once and in words. [`Flow`] is the machine: it is to a
//! workflow what [`super::execution::Execution`] is to a map task, and it is driven in the same way. [`bind`] turns
//! bindings into literals, and [`inputs`] puts together what an execution is given.

pub mod bind;
mod branch;
mod compile;
pub mod event;
pub mod flow;
pub mod graph;
mod inputs;
mod msgpack;
mod path;
mod types;

pub use bind::{BindError, References, references, resolve};
pub use branch::decide;
pub use event::{FlowEvent, FlowOutcome, NodeEnd, NodeError};
pub use flow::{Flow, FlowAction, FlowPhase, IllegalEvent, NodePhase, NodeView};
pub use graph::{Graph, GraphNode, NodeKind, Scope};
pub use inputs::inputs;
pub use path::elements;
pub use types::check;

#[cfg(test)]
mod tests;
