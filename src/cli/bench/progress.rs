//! How far a long experiment is, on standard error, where that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// How often the time is drawn anew.
const TICKS: Duration = Duration::from_millis(500);

/// Which experiment it is.
#[derive(Clone, Debug)]
pub struct Progress(pub String);

/// One bar. Dropped, it is wiped.
pub struct Bar(ProgressBar);

impl Progress {
    /// Shows that so many things are to be done.
    pub fn bar(&self, what: &str, count: usize) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{msg:<34} {bar:30} {pos}/{len}  {per_sec}  {eta} left");
        bar.set_style(style.expect("the template is ours").progress_chars("━╸─"));
        bar.set_message(format!("{}: {what}", self.0));
        bar.enable_steady_tick(TICKS);
        Bar(bar)
    }
}

impl Bar {
    /// So many more are done.
    pub fn inc(&self, count: u64) {
        self.0.inc(count);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
