//! The loop that drives a peer: datagrams and other happenings in, sends and tasks out.

use super::hands::{Hands, Happening};
use super::host::{Event, Wish};
use super::orders::Orders;
use crate::ground::Moment;
use crate::ground::krpc::MAX_DATAGRAM;
use crate::peer::{Answer, Command, Input, Move, MoveError, Output, Peer, Ticket};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{self, JoinSet};
use tokio::time;

/// Most datagrams read before anything else has its turn. Guess: more than a socket's buffer holds, so that after a
/// pause all answers that are waiting are heard before a timer says that they are late.
const DATAGRAMS_A_TURN: usize = 512;

/// Room for datagrams of strangers that are longer than ours; the rest of a longer one is cut off.
const DATAGRAM_BYTES: usize = 2 * MAX_DATAGRAM;

/// How long a failing socket is left alone.
const PAUSE: Duration = Duration::from_millis(50);

/// All that one running peer has.
pub struct Life {
    pub peer: Peer,
    pub begun: Instant,
    pub udp: UdpSocket,
    pub hands: Arc<Hands>,
    pub happenings: mpsc::Receiver<Happening>,
    pub wishes: mpsc::Receiver<(Wish, oneshot::Sender<Answer>)>,
    pub events: broadcast::Sender<Event>,
    pub orders: Orders,
    pub tasks: JoinSet<()>,
}

/// Whether to live on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Live,
    Leave,
}

impl Life {
    /// Lives until the peer has left, or nobody holds its host.
    pub async fn live(mut self) {
        // Before this, sending would be refused.
        let _ = self.udp.writable().await;
        while self.turn().await == Fate::Live {
            let wake = time::Instant::from_std(self.begun) + self.peer.wake_at().elapsed();
            tokio::select! {
                biased;
                readable = self.udp.readable() => if readable.is_err() {
                    time::sleep(PAUSE).await;
                },
                Some(happening) = self.happenings.recv() => self.happened(happening),
                wish = self.wishes.recv() => match wish {
                    Some((wish, reply)) => self.begin(wish, reply),
                    None => return,
                },
                Some(_) = self.tasks.join_next() => {}
                () = time::sleep_until(wake) => {}
            }
        }
    }

    /// One turn: everything that has happened, in the order that is fairest to others. Their datagrams first, so that
    /// nobody is called late because we were; the clock last.
    async fn turn(&mut self) -> Fate {
        if self.hear() == DATAGRAMS_A_TURN {
            self.survive_flood().await;
        }
        if self.peer.wake_at() <= self.now() {
            self.peer.handle(self.now(), Input::Wake);
        }
        self.perform()
    }

    /// While datagrams never end, all others have a little of each turn.
    async fn survive_flood(&mut self) {
        task::yield_now().await;
        if let Ok(happening) = self.happenings.try_recv() {
            self.happened(happening);
        }
        if let Ok((wish, reply)) = self.wishes.try_recv() {
            self.begin(wish, reply);
        }
    }

    /// Reads what waits in the socket. Returns how many datagrams that were.
    fn hear(&mut self) -> usize {
        let mut buffer = [0; DATAGRAM_BYTES];
        for count in 0..DATAGRAMS_A_TURN {
            match self.udp.try_recv_from(&mut buffer) {
                Ok((len, from)) => {
                    let bytes = buffer[..len].to_vec();
                    self.peer.handle(self.now(), Input::Datagram { from, bytes });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return count,
                // Some datagram of ours came back: it is lost as any may be.
                Err(_) => {}
            }
        }
        DATAGRAMS_A_TURN
    }

    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Input(input) => self.peer.handle(self.now(), input),
            Happening::News(news) => self.tell(Event::News(news)),
            Happening::Sourced { ticket, name, found: Ok((path, content)) } => {
                self.orders.set_source(ticket, path);
                self.command(ticket, Command::Store { name, content });
            }
            Happening::Sourced { ticket, name, found: Err(reason) } => {
                self.answer(ticket, Answer::Failed { name, reason });
            }
        }
    }

    fn begin(&mut self, wish: Wish, reply: oneshot::Sender<Answer>) {
        let ticket = self.orders.open(reply);
        match wish {
            Wish::Plain(command) => self.command(ticket, command),
            Wish::Store { word, name } => _ = self.tasks.spawn(self.hands.clone().find_source(ticket, word, name)),
        }
    }

    fn command(&mut self, ticket: Ticket, command: Command) {
        if command == Command::Leave {
            self.hands.close();
        }
        self.peer.handle(self.now(), Input::Command { ticket, command });
    }

    /// Does all that the peer wants done.
    fn perform(&mut self) -> Fate {
        let mut fate = Fate::Live;
        while let Some(output) = self.peer.poll() {
            match output {
                // A full buffer loses a datagram as any link may.
                Output::Send { to, bytes } => _ = self.udp.try_send_to(&bytes, to),
                Output::Move { ticket, task } => self.carry(ticket, task),
                Output::Probe { addr } => _ = self.tasks.spawn(self.hands.clone().probe(addr)),
                Output::Look { ticket, name } => _ = self.tasks.spawn(self.hands.clone().look(ticket, name)),
                Output::Forget(manifest) => self.hands.forget(&manifest),
                Output::Answer { ticket, answer } => {
                    if answer == Answer::Left {
                        fate = Fate::Leave;
                    }
                    self.answer(ticket, answer);
                }
                Output::News(news) => self.tell(Event::News(news)),
            }
        }
        fate
    }

    /// Starts moving bytes, unless the command that they are for has its end already.
    fn carry(&mut self, ticket: Ticket, task: Move) {
        let hands = self.hands.clone();
        let begun = match task {
            Move::Keep { manifest, source } => self.orders.source(source).map(|path| {
                self.tasks.spawn(hands.keep(ticket, manifest, path));
            }),
            Move::Upload { manifest, source: None, to } => {
                self.tasks.spawn(hands.upload(ticket, manifest, None, to));
                Some(())
            }
            Move::Upload { manifest, source: Some(source), to } => self.orders.source(source).map(|path| {
                self.tasks.spawn(hands.upload(ticket, manifest, Some(path), to));
            }),
            Move::Download { name, content, from, order } => self.orders.basket(order).map(|basket| {
                self.tasks.spawn(hands.download(ticket, name, content, from, basket));
            }),
            Move::Deliver { name, content, order } => self.orders.basket(order).map(|basket| {
                self.tasks.spawn(hands.deliver(ticket, name, content, basket));
            }),
        };
        if begun.is_none() {
            let outcome = Err(MoveError::Local("the command it is for has ended".to_owned()));
            self.peer.handle(self.now(), Input::Moved { ticket, outcome });
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.tell(Event::Answer { ticket, answer: answer.clone() });
        self.orders.close(ticket, answer);
    }

    fn tell(&self, event: Event) {
        // Nobody need listen.
        let _ = self.events.send(event);
    }

    fn now(&self) -> Moment {
        Moment::after(self.begun.elapsed())
    }
}
