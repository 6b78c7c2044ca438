//! Getting content of a single chunk: from one holder after the other, without what only makes sense for more.

use super::super::bytes::read_into;
use super::super::line::{AfterTalk, Lines, converse};
use super::super::message::{Get, Question, Reply};
use super::super::{Exchange, ask, out_of_turn, read_reply};
use super::queue::MOST_TRIED;
use super::{Order, Told};
use crate::ground::{Contact, MoveError};
use crate::store::Arrival;
use crate::store::pieces::Pieces;
use std::net::TcpStream;

/// Gets it to its destination. On return it is verified and durable there. It fails when all holders have.
pub fn take_small(
    order: &Order,
    holders: &[Contact],
    lines: &dyn Lines,
    exchange: &Exchange,
    tell: &dyn Fn(Told),
) -> Result<(), MoveError> {
    let running = exchange.progress.begin(order.name, order.content.len_bytes);
    let (mut failure, mut bytes) = (MoveError::Missing, Vec::new());
    for (at, holder) in holders.iter().take(MOST_TRIED).enumerate() {
        let told = || tell(Told::Receiving(holder.id));
        match converse(lines, holder.addr, |line| take_once(line, order, exchange, &mut bytes, told)) {
            Ok(()) => {
                running.add(order.content.len_bytes);
                return Ok(Arrival::of(order.destination, &bytes)?);
            }
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

/// Reads it from one holder. `on_here` is called before the first byte comes.
fn take_once(
    line: &mut TcpStream,
    order: &Order,
    exchange: &Exchange,
    bytes: &mut Vec<u8>,
    on_here: impl FnOnce(),
) -> Result<((), AfterTalk), MoveError> {
    let Order { name, content, me, port, .. } = order;
    ask(line, &Question::Get(Get { name: (*name).clone(), content: Some(*content), from: *me, port: *port }))?;
    match read_reply(line)? {
        Reply::Here { len_bytes, .. } if len_bytes == content.len_bytes => {}
        Reply::Here { .. } => return Err(MoveError::Damaged),
        _ => return Err(out_of_turn()),
    }
    on_here();
    bytes.clear();
    read_into(line, bytes, content.len_bytes, &exchange.downlink)?;
    let pieces = Pieces::single(*content).expect("one chunk needs no list");
    if pieces.verify(0, bytes) { Ok(((), AfterTalk::Reuse)) } else { Err(MoveError::Damaged) }
}
