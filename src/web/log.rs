//! `--log-json`: what the peer tells, one object a line, in a file.

use super::schema::Object;
use super::told::Told;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task;

/// Most lines in one write.
const LINES_A_WRITE: usize = 256;

/// Writes until `stop` says so, and then what is left.
pub async fn keep(told: Arc<Told>, file: File, mut stop: watch::Receiver<bool>) {
    let (file, mut since) = (Arc::new(file), 0);
    loop {
        let stopped = *stop.borrow();
        loop {
            let following = told.after(since, LINES_A_WRITE);
            let Some(last) = following.lines.last() else { break };
            since = last.number;
            let missed = (following.missed > 0).then(|| Object::Missed { events: following.missed }.line());
            let lines = following.lines.iter().map(|line| format!("{}\n", line.text));
            let text: String = missed.into_iter().chain(lines).collect();
            // A disk that takes nothing costs the log, and the peer nothing.
            if write(file.clone(), text).await.is_err() {
                return;
            }
        }
        if stopped {
            return;
        }
        tokio::select! {
            () = told.more_than(since) => {}
            _ = stop.changed() => {}
        }
    }
}

async fn write(file: Arc<File>, text: String) -> io::Result<()> {
    let written = task::spawn_blocking(move || (&*file).write_all(text.as_bytes())).await;
    written.expect("it does not panic, and is awaited only while the runtime lives")
}
