//! AWS Batch on one machine: a pure model, a journal that lets it survive, and the HTTP face.
//!
//! ```text
//!  HTTP ─► face ─► Service ─► journal (append) ─► Model::apply ─► effects ─► Runner
//!                     ▲                                                        │
//!                     └──────────────────────── reports ◄──────────────────────┘
//! ```

pub mod ask;
pub(crate) mod clock;
mod face;
mod journal;
pub mod model;
pub mod port;
mod service;

pub use self::clock::Clock;
pub use self::service::{Fault, JOURNAL_BYTES, Service, ServiceConfig};
