//! Getting content from those who have it: from one after the other where it is short, else from all at once, each in a
//! thread of its own. Which chunks each is asked for is decided in [`swarm`](super::swarm).

mod queue;
mod small;
mod source;

use super::bytes::read_into;
use super::crowd::Share;
use super::line::{AfterTalk, Lines, converse};
use super::message::{Get, Question, Reply};
use super::progress::Running;
use super::swarm::{SourceId, Swarm};
use super::{Exchange, ask, out_of_turn, read_reply};
use crate::ground::{Contact, Content, FileName, Id, Moment, MoveError};
use crate::store::pieces::{Pieces, chunk_count, chunk_size};
use crate::store::{ChunkSet, Partial, Place};
use queue::{Queue, Source};
use source::Giving;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Longer content is got from several at once. Guess: shorter is there before the second has answered.
const ALONE_BYTES: u64 = 4 << 20;
/// Most sources at once.
pub(super) const MOST_SOURCES: usize = 12;
/// How many runs each source is asked for ahead.
const AHEAD: usize = 2;
/// How often a source that owes nothing is asked what is new.
const NEWS_EVERY: Duration = Duration::from_millis(500);
/// How often is looked whether anybody wants the content, and whether those who are asked can give it, at least.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long an idle source waits for something to do, before it looks itself.
const NAP: Duration = Duration::from_millis(100);

/// What is wanted, and where to.
pub struct Order<'o> {
    /// Under which name the others have it.
    pub name: &'o FileName,
    /// What.
    pub content: Content,
    /// Who wants it.
    pub me: Id,
    /// At which port we give it on.
    pub port: u16,
    /// The file it becomes.
    pub destination: &'o Path,
    /// For what is drawn by lot.
    pub seed: u64,
}

/// What is worth telling meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The first bytes came, from this holder.
    Receiving(Id),
    /// A holder failed, and others go on.
    Failed(Id, MoveError),
}

/// Gets content to its destination. On return it is verified and durable there. It fails when all holders have, or when it
/// is not `wanted` any more; what came stays beside the destination, and the next order for the same goes on there.
pub fn take(
    order: &Order,
    holders: &[Contact],
    lines: &dyn Lines,
    exchange: &Exchange,
    tell: &(dyn Fn(Told) + Sync),
    wanted: &dyn Fn() -> bool,
) -> Result<(), MoveError> {
    if chunk_count(order.content.len_bytes) == 1 {
        return small::take_small(order, holders, lines, exchange, tell);
    }
    let place = Place::beside(order.destination, &order.content);
    let found = Partial::resume(&place, &order.content).map(Arc::new);
    let taking = Taking {
        order,
        lines,
        exchange,
        tell,
        place,
        begun: Instant::now(),
        running: exchange.progress.begin(order.name, order.content.len_bytes),
        told: AtomicBool::new(false),
        state: Mutex::default(),
        changed: Condvar::new(),
    };
    if let Some(partial) = found {
        taking.begin_in(&mut taking.state(), partial);
    }
    taking.run(holders, wanted)
}

/// Content on its way.
struct Taking<'t> {
    order: &'t Order<'t>,
    lines: &'t dyn Lines,
    exchange: &'t Exchange,
    tell: &'t (dyn Fn(Told) + Sync),
    place: Place,
    begun: Instant,
    running: Running<'t>,
    /// That bytes come.
    told: AtomicBool,
    state: Mutex<State<'t>>,
    changed: Condvar,
}

#[derive(Default)]
struct State<'t> {
    /// Known once the list is.
    found: Option<Found<'t>>,
    /// Those who give, for the case that they need not any more.
    streams: BTreeMap<SourceId, TcpStream>,
    /// Who is being asked what is new.
    asked_for_news: BTreeSet<SourceId>,
    /// All is here, or our own disk failed.
    over: bool,
}

struct Found<'t> {
    swarm: Swarm,
    partial: Arc<Partial>,
    /// Others are given what is here as long as this lives.
    _share: Share<'t>,
}

enum Event {
    Takers(Vec<SocketAddr>),
    Ended(Source, Result<(), MoveError>),
}

impl<'t> Taking<'t> {
    /// Begins with as many sources as make sense, and ends with the last.
    fn run(&self, holders: &[Contact], wanted: &dyn Fn() -> bool) -> Result<(), MoveError> {
        let most = if self.order.content.len_bytes > ALONE_BYTES { MOST_SOURCES } else { 1 };
        let mut queue = Queue::default();
        holders.iter().for_each(|holder| queue.add(holder.addr, Some(holder.id)));
        let (mut running, mut failure) = (0, MoveError::Missing);
        let (sender, events) = channel();
        thread::scope(|scope| {
            loop {
                if queue.waiting.is_empty() && self.is_starved(running) {
                    let again = queue.damaged.drain(..).filter(|source| self.deserves_another_chance(source.id));
                    queue.waiting.extend(again);
                }
                while running < most
                    && !self.is_over()
                    && let Some(source) = queue.waiting.pop_front()
                {
                    running += 1;
                    let sender = sender.clone();
                    scope.spawn(move || {
                        let outcome = self.take_from(source, &sender);
                        // The receiver waits for it.
                        let _ = sender.send(Event::Ended(source, outcome));
                    });
                }
                if running == 0 {
                    break;
                }
                match events.recv_timeout(LOOK_EVERY) {
                    Err(_) => {}
                    // Takers come behind those who have all of it, and only where several are asked at once.
                    Ok(Event::Takers(takers)) if most > 1 => {
                        takers.into_iter().for_each(|addr| queue.add(addr, None));
                    }
                    Ok(Event::Takers(_)) => {}
                    Ok(Event::Ended(source, outcome)) => {
                        running -= 1;
                        let is_doubted = queue.doubted.contains(&source.id);
                        if outcome == Err(MoveError::Damaged) {
                            queue.doubt(source);
                        }
                        let goes_on = running > 0 || !queue.waiting.is_empty();
                        if let (Err(error), Some(holder)) = (outcome, source.holder) {
                            if goes_on && !is_doubted && !self.is_over() {
                                (self.tell)(Told::Failed(holder, error.clone()));
                            }
                            // Whoever is cut off because our own disk failed is not to blame; of who is damaged this counts.
                            if !matches!(failure, MoveError::Local(_)) && (!is_doubted || error == MoveError::Damaged) {
                                failure = error;
                            }
                        }
                    }
                }
                if self.is_over() {
                    continue;
                }
                if !wanted() {
                    failure = MoveError::Local("nobody waits for it any more".to_owned());
                    self.end();
                } else if running == most && !queue.waiting.is_empty() && self.is_starved(running) {
                    // Who has nothing for us makes room for who may have.
                    self.cut_off();
                } else if queue.waiting.is_empty()
                    && queue.damaged.is_empty()
                    && self.is_still()
                    && self.is_starved(running)
                {
                    if failure == MoveError::Missing {
                        failure = MoveError::Unreachable("who has a part of it gets no more".to_owned());
                    }
                    self.end();
                }
            }
        });
        self.finish(failure)
    }

    fn finish(&self, failure: MoveError) -> Result<(), MoveError> {
        let state = self.state();
        match &state.found {
            Some(Found { partial, .. }) if partial.is_whole() => Ok(partial.finish(self.order.destination)?),
            _ => Err(failure),
        }
    }

    /// Takes from one source what it has, until all is here or it fails.
    fn take_from(&self, source: Source, events: &Sender<Event>) -> Result<(), MoveError> {
        let outcome = converse(self.lines, source.addr, |line| {
            let outcome = self.talk(source, line, events);
            let mut state = self.state();
            state.streams.remove(&source.id);
            if let Some(found) = &mut state.found {
                found.swarm.leave(source.id);
            }
            drop(state);
            self.changed.notify_all();
            outcome
        });
        if let Err(MoveError::Local(_)) = &outcome {
            self.end();
        }
        // Whoever was cut off because all is here has not failed.
        if self.is_done() { Ok(()) } else { outcome }
    }

    fn talk(&self, source: Source, line: &mut TcpStream, events: &Sender<Event>) -> Result<((), AfterTalk), MoveError> {
        // From the first word on: whoever hangs is cut off when all is here.
        if !self.can_be_cut_off(source, line)? {
            return Ok(((), AfterTalk::Reuse));
        }
        let Order { name, content, me, port, .. } = self.order;
        ask(line, &Question::Get(Get { name: (*name).clone(), content: Some(*content), from: *me, port: *port }))?;
        let (bits, takers) = match read_reply(line)? {
            Reply::Holds { bits, takers } => (bits, takers),
            Reply::Here { .. } => return Err(MoveError::Damaged),
            _ => return Err(out_of_turn()),
        };
        let _ = events.send(Event::Takers(takers));
        let count = chunk_count(content.len_bytes);
        let has = bits.map_or(Some(ChunkSet::all(count)), |bits| ChunkSet::from_bytes(count, &bits));
        let has = has.ok_or_else(out_of_turn)?;
        let partial = self.partial(line)?;
        self.swarm(|swarm| swarm.join(self.now(), source.id, has));
        self.changed.notify_all();
        let mut giving = Giving { taking: self, source, partial, runs: VecDeque::new(), buffer: Vec::new() };
        giving.serve_out(line, events)
    }

    /// Lets [`end`](Taking::end) cut a source off. False: nothing is wanted of it any more.
    fn can_be_cut_off(&self, source: Source, line: &TcpStream) -> Result<bool, MoveError> {
        let heard = line.try_clone().map_err(|error| super::unreachable_by(&error))?;
        let mut state = self.state();
        if !state.over {
            state.streams.insert(source.id, heard);
        }
        Ok(!state.over)
    }

    /// The file that is filled. Whoever comes first brings the list.
    fn partial(&self, line: &mut TcpStream) -> Result<Arc<Partial>, MoveError> {
        if let Some(found) = &self.state().found {
            return Ok(found.partial.clone());
        }
        ask(line, &Question::Hashes)?;
        let Reply::Hashes = read_reply(line)? else { return Err(out_of_turn()) };
        let mut list = Vec::new();
        let content = self.order.content;
        read_into(line, &mut list, chunk_count(content.len_bytes) * Content::HASH_LEN as u64, &self.exchange.downlink)?;
        let pieces = Pieces::from_bytes(content, &list).ok_or(MoveError::Damaged)?;
        let mut state = self.state();
        if let Some(found) = &state.found {
            return Ok(found.partial.clone());
        }
        // Nobody else meanwhile: who finds it locked waits for the lock in vain.
        let partial = Arc::new(Partial::open(&self.place, &pieces)?);
        Ok(self.begin_in(&mut state, partial))
    }

    /// From now on this is filled, unless another is already.
    fn begin_in(&self, state: &mut State<'t>, partial: Arc<Partial>) -> Arc<Partial> {
        let found = state.found.get_or_insert_with(|| {
            self.running.add(partial.have().iter().map(|index| partial.pieces().chunk_len(index)).sum());
            let swarm = Swarm::new(partial.have(), chunk_size(self.order.content.len_bytes), self.order.seed);
            let share = self.exchange.crowd.share(partial.clone());
            Found { swarm, partial, _share: share }
        });
        let (partial, is_done) = (found.partial.clone(), found.swarm.is_done());
        state.over |= is_done;
        partial
    }

    fn tell_receiving(&self, source: Source) {
        if let Some(holder) = source.holder
            && !self.told.swap(true, Ordering::Relaxed)
        {
            (self.tell)(Told::Receiving(holder));
        }
    }

    /// Nothing more is wanted: whoever still gives is cut off.
    fn end(&self) {
        self.state().over = true;
        self.cut_off();
        self.changed.notify_all();
    }

    fn cut_off(&self) {
        for stream in self.state().streams.values() {
            // Closed already is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn deserves_another_chance(&self, id: SourceId) -> bool {
        let state = self.state();
        !state.over && state.found.as_ref().is_some_and(|found| found.swarm.deserves_another_chance(id))
    }

    /// All who run have said what they have, and nobody has anything that lacks.
    fn is_starved(&self, running: usize) -> bool {
        self.state().found.as_ref().is_some_and(|found| found.swarm.is_starved(running))
    }

    fn is_still(&self) -> bool {
        let now = self.now();
        self.state().found.as_ref().is_some_and(|found| found.swarm.is_still(now))
    }

    fn is_over(&self) -> bool {
        self.state().over
    }

    fn is_done(&self) -> bool {
        self.state().found.as_ref().is_some_and(|found| found.partial.is_whole())
    }

    fn now(&self) -> Moment {
        Moment::after(self.begun.elapsed())
    }

    fn swarm<T>(&self, work: impl FnOnce(&mut Swarm) -> T) -> T {
        work(&mut self.state().found.as_mut().expect("who gives has joined the swarm").swarm)
    }

    fn state(&self) -> MutexGuard<'_, State<'t>> {
        self.state.lock().expect("nothing panics while it is held")
    }
}
