//! flytekit, unmodified, against `batchmap serve --local`: every workflow gives what it gives in a local run, and what
//! users do around it works.
//!
//! `BATCHMAP_TEST_FLYTEKIT` names a Python that has flytekit. The workflows are in `tests/fixtures/flytekit/workflows`,
//! the clients in `tests/flytekit/clients`.

mod access;
#[path = "../support/certificates.rs"]
mod certificates;
mod commands;
mod control;
mod kinds;
mod page;
mod restart;
mod server;
#[path = "../support/skip.rs"]
mod skip;
mod stock;
mod trouble;
mod values;
mod wrong;
