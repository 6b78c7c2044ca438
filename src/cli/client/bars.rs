//! The line on the terminal that says how far something has come. Where standard error is no terminal there is none.

use crate::cli::args::client::Color;
use crate::cli::tell::{clean, size};
use crate::web::schema::{Object, Phase};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::env;
use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often it is drawn anew, and the wheel turns.
const TICK: Duration = Duration::from_millis(100);

/// Longer names are cut. Guess: leaves room for the bar in 80 columns.
const NAME_LETTERS: usize = 30;

/// The one line there is, as long as nothing else is said.
static LINE: Mutex<Option<Shown>> = Mutex::new(None);

struct Shown {
    bar: ProgressBar,
    colours: bool,
    /// How many bytes it is of; none: a wheel.
    total: Option<u64>,
    /// Of many files only their number is shown.
    counts: bool,
}

/// From now on it may be shown, if somebody sits there.
pub fn open(json: bool, color: Color) {
    if json || !io::stderr().is_terminal() {
        return;
    }
    let colours = match color {
        Color::Auto => env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        Color::Always => true,
        Color::Never => false,
    };
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    *line() = Some(Shown { bar, colours, total: None, counts: false });
}

/// Takes it away: something else is to be said, or all is over.
pub fn close() {
    if let Some(Shown { bar, .. }) = &*line() {
        bar.finish_and_clear();
    }
}

/// From now on so many of so many files are shown, and nothing of each.
pub fn count(done: usize, total: usize) {
    if let Some(shown) = &mut *line() {
        shown.counts = true;
        shown.count_of(total as u64);
        shown.bar.set_position(done as u64);
    }
}

/// Shows what goes on. False: nobody watches.
pub fn show(object: &Object) -> bool {
    let mut line = line();
    let Some(shown) = &mut *line else { return false };
    match object {
        Object::Progress { .. } if shown.counts => {}
        Object::Phase(phase) if shown.counts => return words(phase).is_some(),
        Object::Progress { file, bytes, total, bytes_per_s, eta_s } => {
            let left = eta_s.map(|seconds| format!("  {seconds} s left")).unwrap_or_default();
            shown.bar_of(short(file), (*bytes, *total), format!("{}/s{left}", size(*bytes_per_s)));
        }
        Object::Phase(phase) => match words(phase) {
            // A wheel says less than a bar that is there.
            Some(_) if shown.total.is_some() && !shown.bar.is_finished() => {}
            Some(words) => shown.wheel(words),
            None => return false,
        },
        _ => return false,
    }
    true
}

/// What goes on, in words; nothing, where it is for everybody to know.
fn words(phase: &Phase) -> Option<String> {
    match phase {
        Phase::Searching { name } => Some(format!("{}: looking for its place", short(name))),
        Phase::Asking { name, hop, asked } => {
            Some(format!("{}: looking for its place: hop {hop}, asked {asked}", short(name)))
        }
        Phase::Sending { name, to } => Some(format!("{}: to peer {}", short(name), to.peer)),
        Phase::Receiving { name, from } => Some(format!("{}: from peer {}", short(name), from.peer)),
        Phase::Leaving => Some("handing over".to_owned()),
        Phase::HolderFailed { .. } | Phase::Repairing { .. } | Phase::NotTaken { .. } => None,
    }
}

impl Shown {
    /// `report.pdf  18.2 MB  ━━━━━━━━━━━━━━━━━━━━  100 %  612 MB/s`
    fn bar_of(&mut self, name: String, (bytes, total): (u64, u64), pace: String) {
        if self.total == Some(total) && !self.bar.is_finished() {
            self.bar.set_position(bytes);
            self.bar.set_prefix(name);
            self.bar.set_message(pace);
            return;
        }
        let colours = self.colours_of_bars();
        let template = format!("{{prefix}}  {}  {{bar:20{colours}}}  {{percent:>3}} %  {{msg}}", size(total));
        self.restart(&template);
        // Drawn when it is complete.
        self.bar = self.bar.clone().with_prefix(name).with_message(pace).with_position(bytes);
        self.bar.set_length(total);
        self.total = Some(total);
    }

    /// `7 of 20 files  ━━━━━━━━━━━━━━━━━━━━  3 s left`
    fn count_of(&mut self, total: u64) {
        if self.total == Some(total) && !self.bar.is_finished() {
            return;
        }
        let elapsed = self.bar.elapsed();
        self.restart(&format!("{{pos}} of {{len}} files  {{bar:20{}}}  {{eta}} left", self.colours_of_bars()));
        // Where a line was said between, it goes on where it was.
        self.bar = self.bar.clone().with_elapsed(elapsed);
        self.bar.set_length(total);
        self.total = Some(total);
    }

    fn colours_of_bars(&self) -> &'static str {
        if self.colours { ".green/dim" } else { "" }
    }

    fn wheel(&mut self, words: String) {
        if self.bar.is_finished() || self.total.is_some() || self.bar.message().is_empty() {
            let colour = if self.colours { ".cyan" } else { "" };
            self.restart(&format!("{{spinner{}}} {{msg}}", if colour.is_empty() { "" } else { ":.cyan" }));
            self.total = None;
            self.bar.enable_steady_tick(TICK);
        }
        self.bar.set_message(words);
    }

    fn restart(&mut self, template: &str) {
        self.bar.finish_and_clear();
        let style = ProgressStyle::with_template(template).expect("these are templates").progress_chars("━━─");
        self.bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style);
    }
}

fn short(name: &str) -> String {
    clean(name).chars().take(NAME_LETTERS).collect()
}

fn line() -> std::sync::MutexGuard<'static, Option<Shown>> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}
