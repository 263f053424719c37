//! The values: flyteidl messages and their JSON forms. Pure data, no I/O.
//!
//! [`core`] holds the part of flyteidl that batchmap speaks (wire-compatible with flyteidl 1.16), generated from
//! `proto/flyteidl`; [`record`] holds batchmap's own stored record. [`types`] gives types their short names, [`json`]
//! and [`text`] turn values into literals and back, [`make`] builds literals by hand.

pub mod base64;
pub mod json;
pub mod make;
pub mod text;
mod times;
pub mod types;

/// Generated messages, in flyteidl's own packages.
pub mod flyteidl {
    /// `flyteidl.core`: literals, their types, interfaces and error documents.
    #[allow(missing_docs, clippy::all, rustdoc::all)]
    pub mod core {
        include!(concat!(env!("OUT_DIR"), "/flyteidl.core.rs"));
    }
}

pub use flyteidl::core;

/// `batchmap`: the immutable record of an execution (`task.pb`).
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod record {
    include!(concat!(env!("OUT_DIR"), "/batchmap.rs"));
}
