//! Connections to other peers, as who asks over them sees them.

use crate::ground::MoveError;
use std::net::{SocketAddr, TcpStream};

/// Connections to other peers.
pub trait Lines: Sync {
    /// One that was used before, if there is one; perhaps the other side has closed it meanwhile.
    fn idle(&self, to: SocketAddr) -> Option<TcpStream>;
    /// A new one.
    fn call(&self, to: SocketAddr) -> Result<TcpStream, MoveError>;
    /// One that is not needed any more, and on which nothing is under way.
    fn keep(&self, to: SocketAddr, line: TcpStream);
}

/// Talks to a peer over a line that is idle or a new one; over a new one again, where the idle one was dead.
pub fn converse<T>(
    lines: &dyn Lines,
    to: SocketAddr,
    mut talk: impl FnMut(&mut TcpStream) -> Result<(T, AfterTalk), MoveError>,
) -> Result<T, MoveError> {
    let mut once = |mut line: TcpStream| {
        let (value, after) = talk(&mut line)?;
        if after == AfterTalk::Reuse {
            lines.keep(to, line);
        }
        Ok(value)
    };
    match lines.idle(to).map(&mut once) {
        None | Some(Err(MoveError::Unreachable(_))) => once(lines.call(to)?),
        Some(outcome) => outcome,
    }
}

/// What may become of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterTalk {
    /// Nothing is under way on it.
    Reuse,
    /// Something may still come.
    Close,
}
