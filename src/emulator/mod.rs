//! AWS Batch, S3 and CloudWatch Logs on one machine.
//!
//! [`server`] is the endpoint: one port for all services. Behind it are [`s3`], the object store; [`batch`], a pure
//! model of AWS Batch with its HTTP face; and [`logs`]. A [`runner`] starts what the model decides to start. [`local`]
//! puts them together, [`record`] notes what IAM would be asked, and [`folder`] decides which of the processes that share a `.batchmap/` serves it.

pub mod batch;
pub mod faults;
pub mod folder;
pub mod local;
pub mod logs;
pub mod record;
pub mod runner;
pub mod s3;
pub mod server;
