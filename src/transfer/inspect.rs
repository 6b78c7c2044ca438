//! Word of what is held, without the bytes.

use super::message::{Question, Reply};
use super::{Heartbeat, ask, out_of_turn, read_error, read_reply, send};
use crate::ground::{Content, Copy, FileName, Health, Manifest, MoveError};
use crate::store::Store;
use crate::store::pieces::{PieceHasher, Pieces, chunk_size};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;

/// How many manifests go into one frame: the longest have some 500 bytes.
const NAMES_A_FRAME: usize = 100;

/// Most names that are heard of from one peer. Guess: 0.5 GB of memory.
const MOST_NAMES: usize = 1_000_000;

/// What is held of a name here; and what of it is damaged. `beat` is called all the time
/// while bytes are read.
pub fn examine(
    store: &Store,
    name: &FileName,
    verify: bool,
    mut beat: impl FnMut() -> Result<(), MoveError>,
) -> Result<(Vec<Copy>, Vec<Manifest>), MoveError> {
    let (mut copies, mut damaged) = (Vec::new(), Vec::new());
    for manifest in store.versions(&name.key()) {
        let health = match verify {
            true if manifest.content.is_removed() => Health::Verified,
            true => {
                let file = match store.open_content(&manifest.content) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(read_error(&error)),
                    opened => opened.ok(),
                };
                let health = check(store, &manifest.content, file.as_ref(), &mut beat)?;
                if matches!(health, Health::Damaged { .. }) {
                    damaged.extend(store.set_damaged(&manifest.content, file.as_ref())?);
                }
                health
            }
            false => Health::Here,
        };
        copies.push(Copy { manifest, health });
    }
    Ok((copies, damaged))
}

/// Reads all bytes of a content. `beat` is called all the time. Where its list is not known, a wrong byte makes all chunks wrong.
fn check(
    store: &Store,
    content: &Content,
    file: Option<&File>,
    beat: &mut impl FnMut() -> Result<(), MoveError>,
) -> Result<Health, MoveError> {
    let count = crate::store::pieces::chunk_count(content.len_bytes);
    let all_bad = Health::Damaged { bad: count, chunks: count };
    let Some(file) = file else { return Ok(all_bad) };
    let list = if count == 1 { Some(Vec::new()) } else { store.pieces(content) };
    let pieces = list.and_then(|list| Pieces::from_bytes(*content, &list));
    let mut hasher = PieceHasher::default();
    let (mut bad, mut bytes) = (0, Vec::new());
    for index in 0..count {
        let start = index * chunk_size(content.len_bytes);
        bytes.resize(chunk_size(content.len_bytes).min(content.len_bytes - start) as usize, 0);
        let is_read = read_chunk(file, &mut bytes, start);
        match &pieces {
            Some(pieces) => bad += u64::from(!is_read || !pieces.verify(index, &bytes)),
            None if is_read => hasher.update(&bytes),
            None => return Ok(all_bad),
        }
        beat()?;
    }
    Ok(match pieces {
        Some(_) if bad == 0 => Health::Verified,
        Some(_) => Health::Damaged { bad, chunks: count },
        None if hasher.finish().content() == *content => Health::Verified,
        None => all_bad,
    })
}

fn read_chunk(file: &File, bytes: &mut [u8], start: u64) -> bool {
    file.read_exact_at(bytes, start).is_ok()
}

/// Answers a [`Question::Inspect`]. Returns what was found damaged.
pub fn serve_inspect(
    stream: &mut impl Write,
    store: &Store,
    name: &FileName,
    verify: bool,
) -> Result<Vec<Manifest>, MoveError> {
    let mut heartbeat = Heartbeat::new();
    let (copies, damaged) = examine(store, name, verify, || heartbeat.beat(stream))?;
    // What is damaged is so, whether or not they hear of it.
    let _ = send(stream, &Reply::Copies(copies));
    Ok(damaged)
}

/// Asks what the peer at the other end holds of a name.
pub fn inspect<S: Read + Write>(stream: &mut S, name: &FileName, verify: bool) -> Result<Vec<Copy>, MoveError> {
    ask(stream, &Question::Inspect { name: name.clone(), verify })?;
    match read_reply(stream)? {
        Reply::Copies(copies) => Ok(copies),
        _ => Err(out_of_turn()),
    }
}

/// Answers a [`Question::List`].
pub fn serve_list(stream: &mut impl Write, manifests: &[Manifest]) -> Result<(), MoveError> {
    let mut frames = manifests.chunks(NAMES_A_FRAME).peekable();
    while let Some(frame) = frames.next() {
        send(stream, &Reply::Names { manifests: frame.to_vec(), more: frames.peek().is_some() })?;
    }
    if manifests.is_empty() { send(stream, &Reply::Names { manifests: Vec::new(), more: false }) } else { Ok(()) }
}

/// Asks what the peer at the other end holds.
pub fn list<S: Read + Write>(stream: &mut S) -> Result<Vec<Manifest>, MoveError> {
    ask(stream, &Question::List)?;
    let mut all = Vec::new();
    while all.len() < MOST_NAMES {
        let Reply::Names { manifests, more } = read_reply(stream)? else { return Err(out_of_turn()) };
        let is_nothing = manifests.is_empty();
        all.extend(manifests);
        if !more {
            return Ok(all);
        }
        if is_nothing {
            // Else it could go on so for ever.
            return Err(out_of_turn());
        }
    }
    Err(MoveError::Refused("it names more files than can be".to_owned()))
}
