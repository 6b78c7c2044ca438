//! How far a file has come that was stored or requested at a prompt: a line now and then, above what is half typed.

use super::console::Screen;
use super::tell::{Line, clean, size};
use super::words::Word;
use crate::ground::FileName;
use crate::live::{Host, Reply};
use crate::web::Moving;
use crate::web::schema::Object;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Guess: by then somebody at a terminal wonders.
const FIRST_AFTER: Duration = Duration::from_secs(3);
/// Guess: often enough to see that it goes on, and seldom enough to read what else is told.
const THEN_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The file that a word moves.
pub fn moved_by(word: &Word) -> Option<FileName> {
    let name = match word {
        Word::Request { name, .. } => name,
        Word::Store(path) => Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path),
        Word::Remove(_)
        | Word::Check { .. }
        | Word::History(_)
        | Word::List
        | Word::Set { .. }
        | Word::Get(_)
        | Word::Look(_)
        | Word::Help(_)
        | Word::Clear
        | Word::Quit
        | Word::Vanish => return None,
    };
    FileName::parse(name).ok()
}

/// Tells it until the reply is there.
pub async fn tell(file: FileName, mut reply: Reply, host: Host, screen: Screen) {
    let mut moving = Moving::default();
    let mut due = Instant::now() + FIRST_AFTER;
    let mut latest = None;
    while timeout(LOOK_EVERY, &mut reply).await.is_err() {
        latest = moving.object(&file, host.progress(&file)).as_ref().and_then(line).or(latest);
        if Instant::now() >= due
            && let Some(line) = latest.take()
        {
            screen.print(&Line::Aside(line));
            due = Instant::now() + THEN_EVERY;
        }
    }
}

/// `large  41 % of 3.0 MB  1.0 MB/s  2 s left`; nothing, where the speed is not known yet.
fn line(object: &Object) -> Option<String> {
    match object {
        Object::Progress { file, bytes, total, bytes_per_s: pace @ 1.., eta_s } => {
            let left = eta_s.map_or(String::new(), |seconds| format!("  {seconds} s left"));
            let percent = bytes * 100 / (*total).max(1);
            Some(format!("{}  {percent} % of {}  {}/s{left}", clean(file), size(*total), size(*pace)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long() {
        let progress = |bytes_per_s, eta_s| {
            let file = "large".to_owned();
            line(&Object::Progress { file, bytes: 1_230_000, total: 3_000_000, bytes_per_s, eta_s })
        };
        assert_eq!(progress(1_000_000, Some(2)).unwrap(), "large  41 % of 3.0 MB  1.0 MB/s  2 s left");
        assert_eq!(progress(0, None), None);
    }

    #[test]
    fn only_words_that_move_files_are_told_of() {
        let of = |word| moved_by(&word).map(|name| name.to_string());
        assert_eq!(of(Word::Store("files/large".to_owned())).as_deref(), Some("large"));
        assert_eq!(of(Word::Get("large".to_owned())), None);
    }
}
