//! What drives any peer: its sockets, its clock and its memory.

use super::meters::Meters;
use super::sockets::{Bound, Sockets};
use crate::ground::Moment;
use crate::ground::krpc::MAX_DATAGRAM;
use crate::peer::{self, Input, Output, Peer, View};
use crate::store::Journal;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time;

/// Most datagrams of one family read before anything else has its turn. Guess: more than a socket's buffer holds, so that after a
/// pause all answers that are waiting are heard before a timer says that they are late.
const DATAGRAMS_A_TURN: usize = 512;

/// Room for datagrams of strangers that are longer than ours; the rest of a longer one is cut off.
const DATAGRAM_BYTES: usize = 2 * MAX_DATAGRAM;

/// How long a failing socket is left alone.
const PAUSE: Duration = Duration::from_millis(50);

/// How often in a row a peer is told that what it just sent cannot be. Guess: what is left is told in the next turn.
const HOPELESS_A_TURN: usize = 64;

/// A peer with all that every peer has.
pub struct Body {
    /// What is counted, by whoever sees it.
    pub meters: Meters,
    peer: Peer,
    begun: Instant,
    sockets: Sockets,
    journal: Option<Journal>,
    hopeless: Vec<SocketAddr>,
}

impl Body {
    /// A peer that starts now, on the current runtime.
    pub fn new(bound: Bound, config: peer::Config, journal: Option<Journal>) -> io::Result<Body> {
        let sockets = Sockets::new(bound)?;
        let (begun, hopeless) = (Instant::now(), Vec::new());
        let (meters, peer) = (Meters::default(), Peer::new(Moment::START, config));
        Ok(Body { meters, peer, begun, sockets, journal, hopeless })
    }

    /// Resolves when the first datagram can be sent.
    pub async fn ready(&mut self) {
        let _ = self.sockets.writable().await;
    }

    /// Resolves when there is something to be heard, or the peer wants to be woken.
    pub async fn stir(&mut self) {
        let wake = time::Instant::from_std(self.begun) + self.peer.wake_at().elapsed();
        tokio::select! {
            biased;
            stirred = self.sockets.stir() => if stirred.is_err() {
                time::sleep(PAUSE).await;
            },
            () = time::sleep_until(wake) => {}
        }
    }

    /// Tells the peer what happened.
    pub fn tell(&mut self, input: Input) {
        self.peer.handle(self.now(), input);
    }

    /// Reads what waits in the sockets. True: there may be more.
    pub fn hear(&mut self) -> bool {
        let mut buffer = [0; DATAGRAM_BYTES];
        let Body { meters, peer, begun, sockets, .. } = self;
        let more = sockets.read(&mut buffer, DATAGRAMS_A_TURN, |from, bytes| {
            meters.datagrams_in += 1;
            peer.handle(Moment::after(begun.elapsed()), Input::Datagram { from, bytes: bytes.to_vec() });
        });
        for addr in self.sockets.unreachable() {
            self.tell(Input::Unreachable(addr));
        }
        more
    }

    /// Says the time, if it has come. To be called when everything has been heard.
    pub fn wake(&mut self) {
        if self.peer.wake_at() <= self.now() {
            self.tell(Input::Wake);
        }
    }

    /// What the peer wants done, apart from what is done here: sending, and noting for the next run.
    pub fn poll(&mut self) -> Option<Output> {
        let mut told = 0;
        loop {
            match self.peer.poll() {
                Some(Output::Send { to, bytes }) => {
                    self.meters.datagrams_out += 1;
                    if self.sockets.send(to, &bytes).is_err() {
                        self.hopeless.push(to);
                    }
                }
                Some(Output::Note { key, value }) => {
                    if let Some(journal) = &mut self.journal {
                        // A full disk costs the next run its memory, and this one nothing.
                        let _ = journal.note(&key, value.as_deref());
                    }
                }
                Some(output) => return Some(output),
                None if self.hopeless.is_empty() || told == HOPELESS_A_TURN => return None,
                None => {
                    told += 1;
                    let to = self.hopeless.swap_remove(0);
                    self.tell(Input::Unreachable(to));
                }
            }
        }
    }

    /// What people may see of the peer.
    pub fn view(&self) -> View {
        self.peer.view()
    }

    fn now(&self) -> Moment {
        Moment::after(self.begun.elapsed())
    }
}

/// A number nobody can foresee: what the standard library seeds its maps with.
pub fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
