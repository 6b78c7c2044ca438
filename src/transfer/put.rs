//! Giving a version to another peer's store.

use super::bytes::{read_into, send_range};
use super::message::{Put, Question, Reply};
use super::progress::Running;
use super::{Exchange, frame, out_of_turn, read_error, read_reply, send, unreachable_by};
use crate::ground::{Content, MoveError};
use crate::store::pieces::{Pieces, chunk_count};
use crate::store::{Accepted, ChunkSet, Partial, Store, StoreError, Upload};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;

/// How often chunks that arrive damaged are asked for again. Guess: what damages more is no line.
const ROUNDS: usize = 4;

/// The bytes of a version that is given.
pub struct Payload<'f> {
    /// Their list.
    pub pieces: &'f Pieces,
    /// Where they are.
    pub file: &'f File,
}

/// Gives a version to the peer at the other end. On return it is verified and durable there. No payload: it says
/// "removed".
///
/// A file that is no longer what the manifest says ends in [`MoveError::Local`] if it is shorter, else in
/// [`MoveError::Damaged`].
pub fn upload<S: Read + Write>(
    stream: &mut S,
    put: &Put,
    payload: Option<Payload>,
    exchange: &Exchange,
) -> Result<(), MoveError> {
    let mut question = frame::bytes(&Question::Put(put.clone()).encode());
    match &payload {
        None => {}
        Some(Payload { pieces, file }) if pieces.count() == 1 => {
            let head = question.len();
            question.resize(head + pieces.chunk_len(0) as usize, 0);
            file.read_exact_at(&mut question[head..], 0).map_err(|error| read_error(&error))?;
            exchange.uplink.pace().wait(pieces.chunk_len(0));
        }
        Some(Payload { pieces, .. }) => question.extend(pieces.to_bytes()),
    }
    let running = exchange.progress.begin(&put.manifest.name, put.manifest.content.len_bytes);
    stream.write_all(&question).and_then(|()| stream.flush()).map_err(|error| unreachable_by(&error))?;
    for _ in 0..=ROUNDS {
        match (read_reply(stream)?, &payload) {
            (Reply::Have | Reply::Durable, _) => return Ok(()),
            (Reply::Lacks(bits), Some(payload)) if payload.pieces.count() > 1 => {
                let lacks = ChunkSet::from_bytes(payload.pieces.count(), &bits).ok_or_else(out_of_turn)?;
                send_chunks(stream, payload, &lacks, exchange, &running)?;
            }
            _ => break,
        }
    }
    Err(out_of_turn())
}

fn send_chunks(
    stream: &mut impl Write,
    payload: &Payload,
    wanted: &ChunkSet,
    exchange: &Exchange,
    running: &Running,
) -> Result<(), MoveError> {
    let pieces = payload.pieces;
    // What is there already need not go.
    running.add(wanted.complement().iter().map(|index| pieces.chunk_len(index)).sum());
    let mut chunks = wanted.iter().peekable();
    while let Some(first) = chunks.next() {
        let mut last = first;
        while chunks.next_if_eq(&(last + 1)).is_some() {
            last += 1;
        }
        let range = pieces.start(first)..pieces.start(last) + pieces.chunk_len(last);
        send_range(&mut Counted { stream, running }, payload.file, range, exchange.uplink.pace())?;
    }
    Ok(())
}

/// A stream that counts what it takes.
struct Counted<'c, S> {
    stream: &'c mut S,
    running: &'c Running<'c>,
}

impl<S: Write> Write for Counted<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes)?;
        self.running.add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Takes a version from the peer at the other end into our store, after its [`Question::Put`].
///
/// On return it is durable here, even if the other side is no longer there to hear of it. After an error the chunks that
/// came stay for a while: whoever gives the same content next sends only the others. [`MoveError::Local`] is our own
/// disk's, which the other side hears of as [`MoveError::Refused`].
pub fn serve_put<S: Read + Write>(
    stream: &mut S,
    put: &Put,
    store: &Store,
    exchange: &Exchange,
) -> Result<(), MoveError> {
    let (reply, outcome) = match receive(stream, put, store, exchange) {
        Ok(last_word) => (last_word, Ok(())),
        Err(Failure::Stream(error)) => return Err(error),
        Err(Failure::Store(error)) => (excuse(&error), Err(error.into())),
    };
    // What is durable is so whether or not they hear of it.
    let _ = send(stream, &reply);
    outcome
}

/// Answers a [`Question::Put`] with a no: see [`refuse`](super::refuse).
pub fn decline_put<S: Read + Write>(stream: &mut S, put: &Put, reason: &str) -> Result<(), MoveError> {
    // Closing on unread bytes would reset the connection, and our answer with it.
    io::copy(&mut stream.take(following_bytes(&put.manifest.content)), &mut io::sink())
        .map_err(|error| unreachable_by(&error))?;
    send(stream, &Reply::Refused(reason.to_owned()))
}

/// How many bytes come behind the question.
fn following_bytes(content: &Content) -> u64 {
    match chunk_count(content.len_bytes) {
        1 => content.len_bytes,
        count => count * Content::HASH_LEN as u64,
    }
}

enum Failure {
    Stream(MoveError),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

impl From<MoveError> for Failure {
    fn from(error: MoveError) -> Failure {
        Failure::Stream(error)
    }
}

/// What the sender hears of our trouble: no paths of ours.
fn excuse(error: &StoreError) -> Reply {
    match error {
        StoreError::Outdated(held) => Reply::Outdated(*held),
        StoreError::Damaged => Reply::Damaged,
        StoreError::Full(_) => Reply::Refused("no space left on its disk".to_owned()),
        StoreError::Quota { .. } => Reply::Refused("no room left in its quota".to_owned()),
        StoreError::InUse(_)
        | StoreError::Earlier(_)
        | StoreError::Later(_)
        | StoreError::Lost(_)
        | StoreError::Corrupt { .. }
        | StoreError::Changed
        | StoreError::NoFile(_)
        | StoreError::Disk { .. } => Reply::Refused("its disk failed".to_owned()),
    }
}

/// Returns the last word to a sender that succeeded.
fn receive<S: Read + Write>(stream: &mut S, put: &Put, store: &Store, exchange: &Exchange) -> Result<Reply, Failure> {
    let content = put.manifest.content;
    let mut buffer = Vec::new();
    read_into(stream, &mut buffer, following_bytes(&content), &exchange.downlink)?;
    if store.adopt(&put.manifest, put.left, put.fresh)? {
        return Ok(Reply::Have);
    }
    if chunk_count(content.len_bytes) == 1 {
        let pieces = Pieces::single(content).expect("one chunk needs no list");
        let upload = store.receive(&put.manifest, &pieces)?;
        if upload.partial().accept(0, &buffer)? == Accepted::Wrong {
            return Err(StoreError::Damaged.into());
        }
        upload.commit(put.left, put.fresh)?;
        return Ok(Reply::Durable);
    }
    let pieces = Pieces::from_bytes(content, &buffer).ok_or(StoreError::Damaged)?;
    let upload = store.receive(&put.manifest, &pieces)?;
    let _shared = exchange.crowd.share(upload.partial().clone());
    fill(stream, &upload, exchange)?;
    upload.commit(put.left, put.fresh)?;
    Ok(Reply::Durable)
}

fn fill<S: Read + Write>(stream: &mut S, upload: &Upload, exchange: &Exchange) -> Result<(), Failure> {
    let partial = upload.partial();
    for _ in 0..ROUNDS {
        let lacks = partial.have().complement();
        if lacks.is_empty() {
            return Ok(());
        }
        send(stream, &Reply::Lacks(lacks.as_bytes().to_vec()))?;
        take_chunks(stream, partial, &lacks, exchange)?;
    }
    if partial.is_whole() { Ok(()) } else { Err(StoreError::Damaged.into()) }
}

fn take_chunks(
    stream: &mut impl Read,
    partial: &Partial,
    lacks: &ChunkSet,
    exchange: &Exchange,
) -> Result<(), Failure> {
    let mut buffer = Vec::new();
    let mut outcome = Ok(());
    for index in lacks.iter() {
        read_into(stream, &mut buffer, partial.pieces().chunk_len(index), &exchange.downlink)?;
        // After a failure of ours the sender is heard out: closing on unread bytes would reset the connection, and our
        // answer with it.
        if outcome.is_ok() {
            outcome = partial.accept(index, &buffer).map(drop);
        }
    }
    Ok(outcome?)
}
