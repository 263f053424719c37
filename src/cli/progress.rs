//! Progress on standard error: a bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::report::counts;
use crate::map::summary::Summary;

/// Between two plain lines: a log of an hour's run stays readable.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Redraws a second at most: more costs a terminal over SSH more than it tells.
const REDRAW_HZ: u8 = 4;

/// Whether and how progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Show {
    /// A bar on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// Plain lines.
    Plain,
    /// Nothing.
    None,
}

/// Shows what `progress` brings until its sender is gone.
pub async fn show(show: Show, progress: watch::Receiver<Summary>) {
    match show {
        Show::None => {}
        Show::Auto if std::io::stderr().is_terminal() => bar(progress).await,
        Show::Auto | Show::Plain => {
            let started = Instant::now();
            let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + PLAIN_EVERY, PLAIN_EVERY);
            let mut last = 0;
            loop {
                tick.tick().await;
                let summary = progress.borrow().clone();
                let settled = summary.succeeded + summary.failed;
                let rate = (settled - last) as f64 / PLAIN_EVERY.as_secs_f64();
                last = settled;
                note!("{:>6.0}s  {}, {rate:.1}/s", started.elapsed().as_secs_f64(), line(&summary));
                if progress.has_changed().is_err() {
                    return;
                }
            }
        }
    }
}

async fn bar(mut progress: watch::Receiver<Summary>) {
    let size = progress.borrow().size;
    let bar = ProgressBar::with_draw_target(Some(size), indicatif::ProgressDrawTarget::stderr_with_hz(REDRAW_HZ));
    let style = ProgressStyle::with_template("[{elapsed_precise}] {wide_bar} {pos}/{len} {per_sec} eta {eta}  {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_secs(1));
    loop {
        let summary = progress.borrow_and_update().clone();
        bar.set_position(summary.succeeded + summary.failed + summary.settling);
        bar.set_message(line(&summary));
        if progress.changed().await.is_err() {
            break;
        }
    }
    bar.finish_and_clear();
}

/// The counts, and why nothing starts or what is looked for.
fn line(summary: &Summary) -> String {
    let counts = counts(summary);
    match (&summary.stuck, &summary.looking) {
        (Some(stuck), _) => format!("{counts}; nothing starts: {}", stuck.what),
        (None, Some(looking)) => format!("{counts}; {looking}"),
        (None, None) => counts,
    }
}
