//! What a worker's exit code means, and the file by which a command asks to be run again: the worker writes them, the
//! driver's verdicts read them.
//!
//! A command that failed gives the worker its own exit code, 128 plus the number when a signal ended it; so these codes
//! say little by themselves. The error document beside them decides, where there is one.

/// The command's failure is worth another attempt: what a command exits with to say so (`EX_TEMPFAIL` of sysexits), and
/// the worker's code when [`RECOVERABLE_FILE`] says so.
pub const EXIT_RECOVERABLE: i32 = 75;

/// The worker itself failed: no store, a record it does not understand, no index. Another attempt may help.
pub const EXIT_SYSTEM: i32 = 76;

/// The command succeeded, but an output is missing or not of its type.
pub const EXIT_OUTPUT: i32 = 1;

/// A command of Flyte's left an error document that does not ask for another attempt; of one that does, the code is
/// [`EXIT_RECOVERABLE`].
pub const EXIT_DOCUMENT: i32 = 1;

/// The command ran longer than the task's timeout, as `timeout(1)` has it.
pub const EXIT_TIMEOUT: i32 = 124;

/// The command was found but cannot be started, as a shell has it.
pub const EXIT_NOT_EXECUTABLE: i32 = 126;

/// The command was not found, as a shell has it.
pub const EXIT_NOT_FOUND: i32 = 127;

/// Added to the number of the signal that ended the command, as a shell has it.
pub const EXIT_SIGNAL: i32 = 128;

/// A file of this name in the output directory makes the attempt a recoverable failure, whatever the exit code; its
/// text is the message.
pub const RECOVERABLE_FILE: &str = "_RECOVERABLE";
