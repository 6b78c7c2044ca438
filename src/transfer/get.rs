//! Getting a file from another peer, from where the last one stopped.

use super::message::{Opening, Reply};
use super::put::{changed, send_bytes};
use super::{frame, out_of_turn, read_reply, send, unreachable_by};
use crate::ground::MoveError;
use crate::ground::{Content, FileName, Id};
use crate::store::{Arrival, PourError, plain, pour};
use blake3::Hasher;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};

/// A file that is given to whoever asked for it.
#[derive(Debug)]
pub struct Served {
    /// Its bytes; a handle of its own (one made by `try_clone` shares the position).
    pub file: File,
    /// What they are, if that is known: the store's content. None: a file of the working folder.
    pub content: Option<Content>,
    /// How many they are.
    pub len_bytes: u64,
}

/// Answers an [`Opening::Get`]: sends a file without its first `offset` bytes, or says that there is none.
///
/// A file whose content is not known is hashed while it is sent; after an offset, that begins with a silence for as
/// long as it takes to read what is left out.
pub fn serve_get<S: Write>(stream: &mut S, source: Option<Served>, offset: u64) -> Result<(), MoveError> {
    let Some(Served { mut file, content, len_bytes }) = source else {
        send(stream, &Reply::Missing)?;
        return Err(MoveError::Missing);
    };
    send(stream, &Reply::Here { len_bytes, hash: content.map(|content| content.hash) })?;
    let Some(rest) = len_bytes.checked_sub(offset) else {
        return Err(MoveError::Refused("it wants bytes beyond the end of the file".to_owned()));
    };
    let hash = match content {
        Some(content) => {
            file.seek(SeekFrom::Start(offset)).map_err(|error| read_error(&error))?;
            send_bytes(stream, &mut file, rest)?;
            content.hash
        }
        None => {
            let mut hasher = Hasher::new();
            let poured = pour(&mut file, offset, &mut hasher, &mut io::sink());
            poured.and_then(|()| pour(&mut file, rest, &mut hasher, stream)).map_err(|error| match error {
                PourError::Source(error) => read_error(&error),
                PourError::Ended => changed(),
                PourError::Sink(error) => unreachable_by(&error),
            })?;
            *hasher.finalize().as_bytes()
        }
    };
    send(stream, &Reply::Whole { hash })
}

fn read_error(error: &io::Error) -> MoveError {
    MoveError::Local(format!("the file cannot be read: {}", plain(error)))
}

/// Gets a file from the peer at the other end: what is not in `arrival` yet. On return all of it is there and verified,
/// ready for [`Arrival::finish`].
///
/// `on_here` hears the file's length before the first byte comes. After [`MoveError::Unreachable`], what came stays, for
/// the next holder to continue. After [`MoveError::Damaged`] either nothing was taken (this holder has something else),
/// or `arrival` is empty again; as the wrong bytes may be an earlier holder's, a holder that only continued is worth a
/// second try.
pub fn download<S: Read + Write>(
    stream: &mut S,
    name: &FileName,
    wanted: Option<Content>,
    from: Id,
    arrival: &mut Arrival,
    on_here: impl FnOnce(u64),
) -> Result<Content, MoveError> {
    let offset = arrival.len_bytes();
    let opening = Opening::Get { name: name.clone(), content: wanted, offset, from };
    frame::write(stream, &opening.encode()).map_err(|error| unreachable_by(&error))?;
    let Reply::Here { len_bytes, hash } = read_reply(stream)? else { return Err(out_of_turn()) };
    if wanted.is_some_and(|wanted| wanted.len_bytes != len_bytes || hash.is_some_and(|hash| hash != wanted.hash)) {
        return Err(MoveError::Damaged);
    }
    let Some(rest) = len_bytes.checked_sub(offset) else { return discard(arrival) };
    on_here(len_bytes);
    arrival.fill(stream, rest).map_err(|error| match error {
        PourError::Source(error) => unreachable_by(&error),
        PourError::Ended => unreachable_by(&io::ErrorKind::UnexpectedEof.into()),
        PourError::Sink(error) => arrival.write_error(&error).into(),
    })?;
    let Reply::Whole { hash } = read_reply(stream)? else { return Err(out_of_turn()) };
    let content = arrival.content();
    let is_right = content.hash == hash && wanted.is_none_or(|wanted| wanted == content);
    if is_right { Ok(content) } else { discard(arrival) }
}

fn discard(arrival: &mut Arrival) -> Result<Content, MoveError> {
    arrival.restart()?;
    Err(MoveError::Damaged)
}
