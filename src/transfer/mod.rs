//! Files in motion, over any stream of bytes. Knows the store, and nothing of who connects to whom, and why.
//!
//! A connection moves one file and is closed. What one side says is a frame (see [`frame`]); files are raw bytes
//! between frames, never parsed, exactly as many as the frame before them said.
//!
//! ```text
//! the one who connects      the other
//! Put ───────────────────▶  room? a later version here?         upload ▸ serve_put
//!     ◀───────────────────  Go · Have · Outdated · Refused
//! all bytes ─────────────▶  hashed while written, then fsync
//!     ◀───────────────────  Durable · Damaged · Refused
//!
//! Get ───────────────────▶                                      download ▸ serve_get
//!     ◀───────────────────  Here · Missing · Refused
//!     ◀───────────────────  the bytes from the wanted offset
//!     ◀───────────────────  Whole: the hash of the whole file
//! ```
//!
//! How long to wait for a slow or silent peer is for whoever opens the stream to say, by the stream's own timeouts: one
//! that passes is [`MoveError::Unreachable`]. No side is silent for longer than its disk needs for 128 MiB, or, where
//! [`serve_get`] says so, for reading a file once. All calls block, and use 1 MiB of memory.

pub mod frame;
mod get;
mod message;
mod put;

pub use get::{Served, download, serve_get};
pub use message::Opening;
pub use put::{serve_put, upload};

use crate::ground::MoveError;
use crate::store::{StoreError, plain};
use frame::BadFrame;
use message::Reply;
use std::io::{self, Read, Write};

/// Reads the first frame of a connection. To what is [`BadFrame::Version`] or [`BadFrame::Unknown`], [`refuse`] is the
/// polite answer.
pub fn read_opening(stream: &mut impl Read) -> Result<Opening, BadFrame> {
    Opening::decode(&frame::read(stream)?)
}

/// Answers any opening with a no. `reason`: a few words that complete "refused it (…)".
pub fn refuse(stream: &mut impl Write, reason: &str) -> Result<(), MoveError> {
    send(stream, &Reply::Refused(reason.to_owned()))
}

fn send(stream: &mut impl Write, reply: &Reply) -> Result<(), MoveError> {
    frame::write(stream, &reply.encode()).map_err(|error| unreachable_by(&error))
}

/// The other side's answer, if it is none of those that end every transfer.
fn read_reply(stream: &mut impl Read) -> Result<Reply, MoveError> {
    match frame::read(stream).and_then(|payload| Reply::decode(&payload)) {
        Ok(Reply::Refused(reason)) => Err(MoveError::Refused(reason)),
        Ok(Reply::Outdated(held)) => Err(MoveError::Outdated(held)),
        Ok(Reply::Missing) => Err(MoveError::Missing),
        Ok(Reply::Damaged) => Err(MoveError::Damaged),
        Ok(reply @ (Reply::Go | Reply::Have | Reply::Durable | Reply::Here { .. } | Reply::Whole { .. })) => Ok(reply),
        Err(BadFrame::Io(error)) => Err(unreachable_by(&error)),
        Err(error) => Err(MoveError::Refused(error.to_string())),
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
