//! The examples of pages, and whether what a command prints is what the page shows.
//!
//! An example is a block of lines with four blanks before them. `$ ` begins a command, and what follows is its output; in
//! blocks without `$ ` each line is a command, and after two blanks an explanation. Of the output times, traffic, hashes and
//! addresses may differ; `…` is any lines at all, and at the end of one any words.

use std::net::SocketAddr;
use std::path::Path;

/// Lines with four blanks before them.
pub struct Block {
    /// The page, the heading, and which one it is below that.
    pub name: String,
    /// Without the blanks.
    pub lines: Vec<String>,
}

/// A command and what it is said to print.
#[derive(Debug)]
pub struct Example {
    /// What is typed.
    pub command: String,
    /// What follows; empty: nothing is said of it.
    pub shown: Vec<String>,
}

/// All blocks of a page.
pub fn blocks(page: &str, text: &str) -> Vec<Block> {
    let (mut found, mut heading, mut count) = (Vec::<Block>::new(), String::new(), 0);
    let mut open = false;
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("# ").or_else(|| line.strip_prefix("## ")) {
            (heading, count) = (words.to_owned(), 0);
        }
        match line.strip_prefix("    ") {
            Some(line) => {
                if !open {
                    count += 1;
                    found.push(Block { name: format!("{page}, {heading}, {count}"), lines: Vec::new() });
                }
                found.last_mut().unwrap().lines.push(line.to_owned());
                open = true;
            }
            None => open &= line.is_empty(),
        }
    }
    found
}

impl Block {
    /// The commands in it.
    pub fn examples(&self) -> Vec<Example> {
        let is_session = self.lines.iter().any(|line| line.starts_with("$ "));
        let mut found: Vec<Example> = Vec::new();
        for line in &self.lines {
            match (line.strip_prefix("$ "), is_session) {
                (Some(command), _) => found.push(Example { command: command.to_owned(), shown: Vec::new() }),
                (None, true) => found.last_mut().expect("a session begins with a command").shown.push(line.clone()),
                // The rest of the line above.
                (None, false) if line.starts_with(' ') => {}
                (None, false) => {
                    let command = line.split_once("  ").map_or(line.as_str(), |(command, _)| command);
                    found.push(Example { command: command.to_owned(), shown: Vec::new() });
                }
            }
        }
        found
    }
}

/// Whether a word may stand for another one: two hashes, clocks, places in the file system, or numbers before
/// `ms`, `s` and `bytes`, or addresses.
fn is_like(shown: &str, told: &str, unit: Option<&&str>) -> bool {
    let is_hex = |text: &str| !text.is_empty() && text.chars().all(|char| char.is_ascii_hexdigit() || char == '…');
    let is_clock = |text: &str| text.len() == 8 && text.bytes().filter(|byte| *byte == b':').count() == 2;
    let is_address = |text: &str| text.parse::<SocketAddr>().is_ok();
    let is_number = |text: &str| text.parse::<f64>().is_ok();
    let file = |text: &str| text.starts_with('/').then(|| Path::new(text).file_name().map(ToOwned::to_owned)).flatten();
    shown == told
        || shown.chars().count() == told.chars().count() && shown.chars().count() >= 7 && is_hex(shown) && is_hex(told)
        || is_clock(shown) && is_clock(told)
        || is_address(shown) && is_address(told)
        || file(shown).is_some() && file(shown) == file(told)
        || unit.is_some_and(|unit| ["ms", "s", "bytes"].contains(unit)) && is_number(shown) && is_number(told)
}

fn is_like_line(shown: &str, told: &str) -> bool {
    let words = |line| str::split_whitespace(line).collect::<Vec<_>>();
    let (shown, told) = (words(shown), words(told));
    let same = |at: usize| is_like(shown[at], told[at], shown.get(at + 1));
    match shown.split_last() {
        Some((&"…", shown)) => shown.len() <= told.len() && (0..shown.len()).all(same),
        _ => shown.len() == told.len() && (0..shown.len()).all(same),
    }
}

/// Whether lines are as they are shown. `…` is any lines; empty ones count for nothing.
pub fn is_as_shown(shown: &[String], told: &[&str]) -> bool {
    match shown.split_first() {
        None => told.is_empty(),
        Some((first, rest)) if first.trim().is_empty() => is_as_shown(rest, told),
        Some((first, rest)) if first == "…" => (0..=told.len()).any(|from| is_as_shown(rest, &told[from..])),
        Some((first, rest)) => {
            told.split_first().is_some_and(|(line, more)| is_like_line(first, line) && is_as_shown(rest, more))
        }
    }
}
