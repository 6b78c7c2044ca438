//! Keeps the disk busy while a file is written, so that the end of it is never far behind.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// Guess: at 10 MB/s, the slowest disk we can think of, a peer is silent for 13 s while it syncs twice as much.
/// In the tests so little that they meet it.
const FLUSH_EVERY_BYTES: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// Has a file flushed every [`FLUSH_EVERY_BYTES`] by a thread of its own; who writes waits until the flush before is
/// done, so the disk is never more than twice as much behind.
pub(super) struct Flusher {
    file: Arc<File>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    unflushed: u64,
    worker: Option<Worker>,
}

struct Worker {
    /// Of no capacity: taken only when the flush before is done.
    turn: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Flusher {
    /// For a file that is about to be written.
    pub fn new(file: Arc<File>) -> Flusher {
        Flusher { file, state: Mutex::default() }
    }

    /// To be told of every write.
    pub fn wrote(&self, len_bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        state.unflushed += len_bytes;
        if state.unflushed < FLUSH_EVERY_BYTES {
            return Ok(());
        }
        state.unflushed = 0;
        let worker = state.worker.get_or_insert_with(|| Worker::new(self.file.clone()));
        match worker.turn.send(()) {
            Ok(()) => Ok(()),
            // The operating system tells of a failed flush only once: if it is not heard here, it never is.
            Err(_) => {
                state.worker.take().map_or(Ok(()), Worker::end).and(Err(io::Error::other("an earlier write failed")))
            }
        }
    }

    /// Returns when everything written so far would survive a power cut.
    pub fn finish(&self) -> io::Result<()> {
        let worker = self.state().worker.take();
        worker.map_or(Ok(()), Worker::end)?;
        self.file.sync_all()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

impl Worker {
    fn new(file: Arc<File>) -> Worker {
        let (turn, turns) = sync_channel(0);
        Worker { turn, thread: thread::spawn(move || turns.iter().try_for_each(|()| file.sync_data())) }
    }

    fn end(self) -> io::Result<()> {
        drop(self.turn);
        self.thread.join().expect("flushing does not panic")
    }
}
