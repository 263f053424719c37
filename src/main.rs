//! The command line.

fn main() {
    if std::env::args().nth(1).as_deref() == Some("guardian") {
        batchmap::emulator::runner::guardian::guardian_main();
    }
}
