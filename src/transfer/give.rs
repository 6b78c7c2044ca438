//! Giving a file to whoever asked for it.

use super::bytes::send_range;
use super::message::{Get, MAX_NEW, Question, Reply};
use super::uplink::Turn;
use super::{Exchange, HEARTBEAT, Heartbeat, changed, frame, read_error, read_question, send, unreachable_by};
use crate::ground::{Content, MoveError};
use crate::store::pieces::{PieceHasher, Pieces, chunk_count, chunk_size};
use crate::store::{ChunkSet, Partial, PourError, pour};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// The longest run that is given at once, where a single chunk is not longer: others wait meanwhile.
const MOST_RUN_BYTES: u64 = 64 << 20;

/// How much is read at once where a list has to be made.
const READ_BYTES: usize = 1 << 20;

/// A file that is given to whoever asked for it.
pub enum Served {
    /// Content of the store.
    Whole {
        /// Its bytes.
        file: File,
        /// What they are.
        content: Content,
        /// Its list, if that is known; else it is made when somebody asks.
        pieces: Option<Pieces>,
    },
    /// Content that is still arriving.
    Growing(Arc<Partial>),
    /// A file of the working folder, whose hash is not known.
    Lying {
        /// Its bytes; a handle of its own (one made by `try_clone` shares the position).
        file: File,
        /// How many they are.
        len_bytes: u64,
    },
}

/// Answers a [`Question::Get`] and all that belong to it. On return the taker has what it wanted. `ip`: where it
/// connected from.
pub fn serve_get<S: Read + Write>(
    stream: &mut S,
    get: &Get,
    served: Option<Served>,
    exchange: &Exchange,
    ip: IpAddr,
) -> Result<(), MoveError> {
    let taker = SocketAddr::new(ip, get.port);
    match served {
        None => {
            send(stream, &Reply::Missing)?;
            Err(MoveError::Missing)
        }
        Some(Served::Lying { file, len_bytes }) => {
            let _turn = turn(stream, exchange, taker)?;
            give_lying(stream, file, len_bytes, exchange)
        }
        Some(Served::Whole { file, content, .. }) if chunk_count(content.len_bytes) == 1 => {
            let _turn = turn(stream, exchange, taker)?;
            give_small(stream, &file, content, exchange)
        }
        Some(Served::Whole { file, content, pieces }) => {
            Session { file: &file, content, pieces, growing: None, seen: 0, taker, exchange }.serve(stream)
        }
        Some(Served::Growing(partial)) => {
            let (file, pieces) = (partial.file(), Some(partial.pieces().clone()));
            let content = partial.pieces().content();
            Session { file: &file, content, pieces, growing: Some(&partial), seen: 0, taker, exchange }.serve(stream)
        }
    }
}

/// Waits until this taker is to be given something.
fn turn<'e>(stream: &mut impl Write, exchange: &'e Exchange, taker: SocketAddr) -> Result<Turn<'e>, MoveError> {
    let waiting = exchange.uplink.queue(taker);
    loop {
        match waiting.turn(HEARTBEAT) {
            Some(turn) => return Ok(turn),
            None => send(stream, &Reply::Wait)?,
        }
    }
}

fn give_lying(stream: &mut impl Write, mut file: File, len_bytes: u64, exchange: &Exchange) -> Result<(), MoveError> {
    send(stream, &Reply::Here { len_bytes, hash: None })?;
    let mut hasher = PieceHasher::default();
    let slice = exchange.uplink.pace().slice_bytes() as u64;
    let mut left = len_bytes;
    while left > 0 {
        let now = slice.min(left);
        exchange.uplink.pace().wait(now);
        pour(&mut file, now, &mut hasher, stream).map_err(|error| match error {
            PourError::Source(error) => read_error(&error),
            PourError::Ended => changed(),
            PourError::Sink(error) => unreachable_by(&error),
        })?;
        left -= now;
    }
    send(stream, &Reply::Whole { hash: hasher.finish().content().hash })
}

/// In one piece: the question was one too.
fn give_small(stream: &mut impl Write, file: &File, content: Content, exchange: &Exchange) -> Result<(), MoveError> {
    let here = Reply::Here { len_bytes: content.len_bytes, hash: Some(content.hash) };
    let mut answer = frame::bytes(&here.encode());
    let head = answer.len();
    answer.resize(head + content.len_bytes as usize, 0);
    file.read_exact_at(&mut answer[head..], 0).map_err(|error| read_error(&error))?;
    exchange.uplink.pace().wait(content.len_bytes);
    stream.write_all(&answer).and_then(|()| stream.flush()).map_err(|error| unreachable_by(&error))
}

/// One taker of content with several chunks.
struct Session<'s> {
    file: &'s File,
    content: Content,
    pieces: Option<Pieces>,
    growing: Option<&'s Partial>,
    /// How many of the chunks that arrived here it has been told of.
    seen: usize,
    taker: SocketAddr,
    exchange: &'s Exchange,
}

impl Session<'_> {
    fn serve<S: Read + Write>(mut self, stream: &mut S) -> Result<(), MoveError> {
        let seat = self.exchange.crowd.enter(self.content, self.taker);
        // Told twice is better than never: first what counts, then what is there.
        self.seen = self.growing.map_or(0, |partial| partial.arrived_since(0).len());
        let bits = self.growing.map(Partial::have).filter(|have| !have.is_full());
        let bits = bits.map(|have| have.as_bytes().to_vec());
        send(stream, &Reply::Holds { bits, takers: seat.others() })?;
        loop {
            match read_question(stream) {
                Ok(Question::Hashes) => self.give_list(stream)?,
                Ok(Question::Want(run)) => self.give(stream, run, seat.others())?,
                Ok(Question::Done) => return Ok(()),
                Ok(Question::Put(_) | Question::Get(_) | Question::Inspect { .. } | Question::List) => {
                    send(stream, &Reply::Refused("it asked for something else before it was done".to_owned()))?;
                    return Err(MoveError::Refused("it spoke out of turn".to_owned()));
                }
                Err(frame::BadFrame::Io(error)) => return Err(unreachable_by(&error)),
                Err(error) => return Err(MoveError::Refused(error.to_string())),
            }
        }
    }

    fn give_list<S: Write>(&mut self, stream: &mut S) -> Result<(), MoveError> {
        let pieces = match self.pieces.take() {
            Some(pieces) => pieces,
            None => list_of(self.file, stream)?,
        };
        send(stream, &Reply::Hashes)?;
        stream.write_all(&pieces.to_bytes()).map_err(|error| unreachable_by(&error))?;
        self.pieces = Some(pieces);
        Ok(())
    }

    fn give<S: Write>(&mut self, stream: &mut S, run: Range<u64>, takers: Vec<SocketAddr>) -> Result<(), MoveError> {
        let size = chunk_size(self.content.len_bytes);
        let is_long = (run.end - run.start).saturating_mul(size) > MOST_RUN_BYTES.max(size);
        let have = self.growing.map(Partial::have);
        let has = |index: u64| have.as_ref().is_none_or(|have: &ChunkSet| have.contains(index));
        if is_long || run.end > chunk_count(self.content.len_bytes) || !run.clone().all(has) {
            send(stream, &Reply::Refused("it asked for chunks that are not here".to_owned()))?;
            return Err(MoveError::Refused("it wants what is not here".to_owned()));
        }
        let _turn = if run.is_empty() { None } else { Some(turn(stream, self.exchange, self.taker)?) };
        let mut new = self.growing.map_or_else(Vec::new, |partial| partial.arrived_since(self.seen));
        new.truncate(MAX_NEW);
        self.seen += new.len();
        send(stream, &Reply::Give { run: run.clone(), new, takers })?;
        let range = run.start * size..(run.end * size).min(self.content.len_bytes);
        if run.is_empty() { Ok(()) } else { send_range(stream, self.file, range, self.exchange.uplink.pace()) }
    }
}

/// Reads all of a file whose list nobody kept, and tells the taker meanwhile that it goes on.
fn list_of(file: &File, stream: &mut impl Write) -> Result<Pieces, MoveError> {
    let (mut hasher, mut heartbeat) = (PieceHasher::default(), Heartbeat::new());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read_at(&mut buffer, hasher.count()) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(got) => hasher.update(&buffer[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read_error(&error)),
        }
        heartbeat.beat(stream)?;
    }
}
