//! Connections to other peers' doors. Those not needed any more are kept open for a moment: many small files for the same
//! peer cost one connection.

use crate::peer::MoveError;
use crate::transfer::Lines;
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long another machine may be silent in the middle of a transfer, and how long it takes at most to call it.
pub const SILENCE: Duration = Duration::from_secs(10);

/// How long a line stays idle. Shorter than the other side's patience ([`SILENCE`]), so that most idle lines are alive.
const IDLE: Duration = Duration::from_secs(4);
/// Most idle lines to one peer, and to all.
const MOST_TO_ONE: usize = 8;
const MOST_IDLE: usize = 64;

/// All idle lines of one peer.
#[derive(Default)]
pub struct Pool {
    idle: Mutex<BTreeMap<SocketAddr, Vec<(Instant, TcpStream)>>>,
}

impl Pool {
    /// Closes those that were idle for too long.
    fn current(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Vec<(Instant, TcpStream)>>> {
        let mut idle = self.idle.lock().expect("nothing panics while it is held");
        idle.values_mut().for_each(|lines| lines.retain(|(since, _)| since.elapsed() < IDLE));
        idle.retain(|_, lines| !lines.is_empty());
        idle
    }
}

impl Lines for Pool {
    fn idle(&self, to: SocketAddr) -> Option<TcpStream> {
        Some(self.current().get_mut(&to)?.pop()?.1)
    }

    fn call(&self, to: SocketAddr) -> Result<TcpStream, MoveError> {
        let line = TcpStream::connect_timeout(&to, SILENCE).and_then(|line| patient(&line).map(|()| line));
        line.map_err(|error| MoveError::Unreachable(error.kind().to_string()))
    }

    fn keep(&self, to: SocketAddr, line: TcpStream) {
        let mut idle = self.current();
        let count: usize = idle.values().map(Vec::len).sum();
        let lines = idle.entry(to).or_default();
        if lines.len() < MOST_TO_ONE && count < MOST_IDLE {
            lines.push((Instant::now(), line));
        }
    }
}

/// Who uses this line never waits longer than [`SILENCE`].
pub fn patient(line: &TcpStream) -> io::Result<()> {
    line.set_nodelay(true)?;
    line.set_read_timeout(Some(SILENCE))?;
    line.set_write_timeout(Some(SILENCE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_line_is_used_again_and_by_one_at_a_time() {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = door.local_addr().unwrap();
        let pool = Pool::default();
        let line = pool.call(addr).unwrap();
        let port = line.local_addr().unwrap().port();
        assert!(pool.idle(addr).is_none());
        pool.keep(addr, line);
        assert_eq!(pool.idle(addr).unwrap().local_addr().unwrap().port(), port);
        assert!(pool.idle(addr).is_none());
    }

    #[test]
    fn only_so_many_lines_are_kept() {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = door.local_addr().unwrap();
        let pool = Pool::default();
        (0..=MOST_TO_ONE).for_each(|_| pool.keep(addr, TcpStream::connect(addr).unwrap()));
        assert_eq!((0..=MOST_TO_ONE).filter(|_| pool.idle(addr).is_some()).count(), MOST_TO_ONE);
    }
}
