//! Scripts of events and the actions they bring out, and properties over a simulated Batch.

mod abort;
mod damage;
mod doubt;
mod held;
mod look;
mod outcome;
mod planning;
mod properties;
mod retry;
mod reuse;
mod script;
mod snapshot;
mod world;
