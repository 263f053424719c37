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

    /// `flyteidl.admin`: what the server is asked and answers.
    #[allow(missing_docs, clippy::all, rustdoc::all)]
    pub mod admin {
        include!(concat!(env!("OUT_DIR"), "/flyteidl.admin.rs"));
    }

    /// `flyteidl.event`: what a task execution says of its children.
    #[allow(missing_docs, clippy::all, rustdoc::all)]
    pub mod event {
        include!(concat!(env!("OUT_DIR"), "/flyteidl.event.rs"));
    }

    /// `flyteidl.service`: the messages of the lesser services.
    #[allow(missing_docs, clippy::all, rustdoc::all)]
    pub mod service {
        include!(concat!(env!("OUT_DIR"), "/flyteidl.service.rs"));
    }
}

pub use flyteidl::{admin, core, event, service};

/// `batchmap`: the immutable record of an execution (`task.pb`).
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod record {
    include!(concat!(env!("OUT_DIR"), "/batchmap.rs"));
}
