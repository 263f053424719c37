//! Executions of workflows: one driver each, and a map execution for every node.
//!
//! ```text
//! Flows ─► one task a workflow (drive) ─► one task a node (node) ─► run::driver, as for any map
//!   ▲                │ journal (log)
//!   └─ warden: signs of life (lease), and what nobody drives any more
//! ```

mod drive;
mod driving;
mod host;
mod known;
mod lease;
mod log;
mod make;
mod node;
mod options;
mod plan;
mod seen;
mod shared;
mod steps;
mod turns;
mod values;
mod view;
mod warden;

pub(in crate::run) use self::log::{Record, read as read_log};
pub(in crate::run) use self::view::{Stored, read as read_flow};
pub use driving::Driving;
pub use host::{CreateError, Definitions, Flows, Host};
pub use lease::Lease;
pub use log::LogError;
pub use turns::Turns;
pub use values::Values;
pub use view::{FlowView, ViewError, created_ms};
