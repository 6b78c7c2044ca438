//! Files in motion, over any stream of bytes. Knows the store, and nothing of who connects to whom, and why.
//!
//! Who connects asks, the other answers: one direction for each connection, and as many questions as there are, one
//! after the other. What is said is a frame (see [`frame`] and `message`); bytes of files are raw between frames, never
//! parsed, exactly as many as the frame before them said. Content has chunks that are checked one by one against a list
//! that proves itself (see [`pieces`](crate::store::pieces)); content of a single chunk needs none.
//!
//! ```text
//! who connects              the other
//!
//! put ───────────────────▶                                       Give a version: upload ▸ serve_put
//! bytes, or list ────────▶  admitted? here? room?                one chunk: its bytes, else the list
//!     ◀───────────────────  lacks · have · outdated · refused · durable · damaged
//! chunks that it lacks ──▶  checked one by one as they come
//!     ◀───────────────────  lacks (what came damaged) · durable · damaged
//!
//! get ───────────────────▶                                       Get content of one chunk: take ▸ serve_get
//!     ◀───────────────────  here, and its bytes · missing · refused
//!
//! get ───────────────────▶                                       Get longer content: take ▸ serve_get
//!     ◀───────────────────  holds: all, or which chunks; who else takes it · missing · refused
//! hashes ────────────────▶                                       (who knows the list does not ask)
//!     ◀───────────────────  hashes, and the list
//! want 7–22 ─────────────▶                                       (two of these ahead, so that the pipe stays full)
//! want 23–38 ────────────▶
//!     ◀───────────────────  wait                                 (every few seconds until it is the taker's turn)
//!     ◀───────────────────  give 7–22, what is new here, who else takes it; the bytes
//! want nothing ──────────▶                                       (idle: what is new?)
//!     ◀───────────────────  give nothing …
//! done ──────────────────▶
//!
//! get ───────────────────▶                                       Get a file that nobody stored: fetch ▸ serve_get
//!     ◀───────────────────  here: its length, and its bytes · missing
//!     ◀───────────────────  whole: their hash
//!
//! inspect ───────────────▶                                       What is held of a name: inspect ▸ serve_inspect
//!     ◀───────────────────  wait (while it reads) · copies
//! list ──────────────────▶                                       What is held: list ▸ serve_list
//!     ◀───────────────────  names · names · … the last says that there is no more
//! ```
//!
//! A chunk that arrived is given to others at once: a taker states its port with its question, holders tell takers of
//! each other, and these ask each other as they ask holders.
//!
//! How long to wait for a slow or silent peer is for whoever opens the stream to say, by the stream's own timeouts: one
//! that passes is [`MoveError::Unreachable`]. No side is silent for longer than its disk needs for 128 MiB. All calls
//! block.

mod bytes;
mod crowd;
mod exchange;
mod fetch;
pub mod frame;
mod give;
mod inspect;
mod line;
mod message;
mod pace;
mod progress;
mod put;
mod swarm;
mod take;
mod uplink;

pub use exchange::{Exchange, Limits};
pub use fetch::fetch;
pub use give::{Served, serve_get};
pub use inspect::{examine, inspect, list, serve_inspect, serve_list};
pub use line::{AfterTalk, Lines, converse};
pub use message::{Get, Put, Question};
pub use progress::Progress;
pub use put::{Payload, decline_put, serve_put, upload};
pub use take::{Order, Told, take};

use crate::ground::MoveError;
use crate::store::{StoreError, plain};
use frame::BadFrame;
use message::Reply;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// How often who waits hears that it goes on. A third of what people wait for a silent machine.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// Reads the next question of a connection. To what is [`BadFrame::Version`] or [`BadFrame::Unknown`], [`refuse`] is the
/// polite answer.
pub fn read_question(stream: &mut impl Read) -> Result<Question, BadFrame> {
    Question::decode(&frame::read(stream)?)
}

/// Answers any question with a no. `reason`: a few words that complete "refused it (…)".
pub fn refuse(stream: &mut impl Write, reason: &str) -> Result<(), MoveError> {
    send(stream, &Reply::Refused(reason.to_owned()))
}

fn ask(stream: &mut impl Write, question: &Question) -> Result<(), MoveError> {
    frame::write(stream, &question.encode()).map_err(|error| unreachable_by(&error))
}

fn send(stream: &mut impl Write, reply: &Reply) -> Result<(), MoveError> {
    frame::write(stream, &reply.encode()).map_err(|error| unreachable_by(&error))
}

/// The other side's answer, if it is none of those that end every transfer.
fn read_reply(stream: &mut impl Read) -> Result<Reply, MoveError> {
    loop {
        match frame::read(stream).and_then(|payload| Reply::decode(&payload)) {
            Ok(Reply::Wait) => {}
            Ok(Reply::Refused(reason)) => return Err(MoveError::Refused(reason)),
            Ok(Reply::Outdated(held)) => return Err(MoveError::Outdated(held)),
            Ok(Reply::Missing) => return Err(MoveError::Missing),
            Ok(Reply::Damaged) => return Err(MoveError::Damaged),
            Ok(reply) => return Ok(reply),
            Err(BadFrame::Io(error)) => return Err(unreachable_by(&error)),
            Err(error) => return Err(MoveError::Refused(error.to_string())),
        }
    }
}

/// Tells who waits, every few seconds, that it goes on.
struct Heartbeat {
    last: Instant,
}

impl Heartbeat {
    fn new() -> Heartbeat {
        Heartbeat { last: Instant::now() }
    }

    /// To be called as often as it is cheap.
    fn beat(&mut self, stream: &mut impl Write) -> Result<(), MoveError> {
        if self.last.elapsed() < HEARTBEAT {
            return Ok(());
        }
        self.last = Instant::now();
        send(stream, &Reply::Wait)
    }
}

fn out_of_turn() -> MoveError {
    MoveError::Refused("it answered something else than was asked".to_owned())
}

fn unreachable_by(error: &io::Error) -> MoveError {
    MoveError::Unreachable(match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it fell silent".to_owned(),
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => plain(error),
    })
}

fn changed() -> MoveError {
    MoveError::Local("the file changed while it was being sent: try again".to_owned())
}

/// A file of ours that cannot be read.
fn read_error(error: &io::Error) -> MoveError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => changed(),
        _ => MoveError::Local(format!("the file cannot be read: {}", plain(error))),
    }
}

impl From<StoreError> for MoveError {
    /// What our own store says no to, no other peer can help with.
    fn from(error: StoreError) -> MoveError {
        match error {
            StoreError::Outdated(held) => MoveError::Outdated(held),
            StoreError::Damaged => MoveError::Damaged,
            error => MoveError::Local(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
