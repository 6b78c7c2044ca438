//! Getting a file that nobody stored, and nobody knows the hash of.

use super::line::{AfterTalk, Lines, converse};
use super::message::{Get, Question, Reply};
use super::take::Told;
use super::{ask, out_of_turn, read_reply, unreachable_by};
use crate::ground::{Contact, MoveError};
use crate::store::{Arrival, PourError};
use std::io::{self, Read, Write};
use std::path::Path;

/// Gets a file of somebody's working folder, from one holder after the other until one has it. On return it is at its
/// destination, and is what the other side sent.
pub fn fetch(
    get: &Get,
    holders: &[Contact],
    destination: &Path,
    lines: &dyn Lines,
    tell: &dyn Fn(Told),
) -> Result<(), MoveError> {
    let mut failure = MoveError::Missing;
    for (at, holder) in holders.iter().enumerate() {
        let mut arrival = Arrival::at(destination)?;
        let outcome = converse(lines, holder.addr, |line| {
            fetch_once(line, get, &mut arrival, || tell(Told::Receiving(holder.id)))?;
            Ok(((), AfterTalk::Reuse))
        });
        match outcome {
            Ok(()) => return Ok(arrival.finish()?),
            Err(error @ MoveError::Local(_)) => return Err(error),
            Err(error) => {
                if at + 1 < holders.len() {
                    tell(Told::Failed(holder.id, error.clone()));
                }
                failure = error;
            }
        }
    }
    Err(failure)
}

/// Gets it from one holder, whatever was in `arrival`. `on_here` is called before the first byte comes.
fn fetch_once<S: Read + Write>(
    stream: &mut S,
    get: &Get,
    arrival: &mut Arrival,
    on_here: impl FnOnce(),
) -> Result<(), MoveError> {
    ask(stream, &Question::Get(get.clone()))?;
    let Reply::Here { len_bytes, .. } = read_reply(stream)? else { return Err(out_of_turn()) };
    on_here();
    arrival.restart()?;
    arrival.fill(stream, len_bytes).map_err(|error| match error {
        PourError::Source(error) => unreachable_by(&error),
        PourError::Ended => unreachable_by(&io::ErrorKind::UnexpectedEof.into()),
        PourError::Sink(error) => arrival.write_error(&error).into(),
    })?;
    let Reply::Whole { hash } = read_reply(stream)? else { return Err(out_of_turn()) };
    if arrival.content().hash == hash { Ok(()) } else { Err(MoveError::Damaged) }
}
