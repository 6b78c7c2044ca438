//! What is asked of one source, and what comes of it.

use super::super::swarm::Next;
use super::super::{ask, out_of_turn, read_reply};
use super::*;
use crate::store::Accepted;

/// One source that gives.
pub(super) struct Giving<'g, 't> {
    pub taking: &'g Taking<'t>,
    pub source: Source,
    pub partial: Arc<Partial>,
    /// What it was asked for, and has not given yet.
    pub runs: VecDeque<Range<u64>>,
    pub buffer: Vec<u8>,
}

impl Giving<'_, '_> {
    /// Asks it, and takes what it gives, until nothing more is wanted of it.
    pub fn serve_out(&mut self, line: &mut TcpStream, events: &Sender<Event>) -> Result<((), AfterTalk), MoveError> {
        let mut heard = Instant::now();
        loop {
            if self.ask_ahead(line)? {
                break;
            }
            if let Some(run) = self.runs.pop_front() {
                self.receive(line, run, events)?;
                heard = Instant::now();
            } else if heard.elapsed() >= NEWS_EVERY {
                self.taking.state().asked_for_news.insert(self.source.id);
                ask(line, &Question::Want(0..0))?;
                self.receive(line, 0..0, events)?;
                self.taking.state().asked_for_news.remove(&self.source.id);
                heard = Instant::now();
            } else {
                let state = self.taking.state();
                // Woken or not, it looks again.
                drop(self.taking.changed.wait_timeout(state, NAP).expect("nothing panics while it is held"));
            }
        }
        if !self.runs.is_empty() {
            return Ok(((), AfterTalk::Close));
        }
        // We have what we want, whether or not they hear of it.
        let after = ask(line, &Question::Done).map_or(AfterTalk::Close, |()| AfterTalk::Reuse);
        Ok(((), after))
    }

    /// Asks for what should be asked for now. True: for nothing more.
    fn ask_ahead(&mut self, line: &mut TcpStream) -> Result<bool, MoveError> {
        while self.runs.len() < AHEAD {
            let mut state = self.taking.state();
            if state.over {
                return Ok(true);
            }
            let found = state.found.as_mut().expect("it joined the swarm");
            found.swarm.read(self.partial.read_from());
            match found.swarm.next(self.taking.now(), self.source.id) {
                Next::Ask(run) => {
                    drop(state);
                    self.runs.push_back(run.clone());
                    ask(line, &Question::Want(run))?;
                }
                Next::Idle => break,
                Next::Spent => return Err(MoveError::Damaged),
                Next::Done => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Takes a run that was asked for.
    fn receive(&mut self, line: &mut TcpStream, wanted: Range<u64>, events: &Sender<Event>) -> Result<(), MoveError> {
        let Reply::Give { run, new, takers } = read_reply(line)? else { return Err(out_of_turn()) };
        if run != wanted {
            return Err(out_of_turn());
        }
        if !takers.is_empty() {
            let _ = events.send(Event::Takers(takers));
        }
        self.gained(new);
        let (begun, mut bytes) = (Instant::now(), 0);
        for index in run {
            let len = self.partial.pieces().chunk_len(index);
            read_into(line, &mut self.buffer, len, &self.taking.exchange.downlink)?;
            self.taking.exchange.uplink.received(self.source.addr, len);
            if self.partial.accept(index, &self.buffer)? == Accepted::Wrong {
                let now = self.taking.now();
                match self.taking.swarm(|swarm| swarm.was_wrong(now, self.source.id, index)) {
                    true => continue,
                    false => return Err(MoveError::Damaged),
                }
            }
            bytes += len;
            self.taking.running.add(len);
            self.taking.tell_receiving(self.source);
            self.arrived(index);
        }
        if bytes > 0 {
            self.taking.swarm(|swarm| swarm.measured(self.source.id, bytes, begun.elapsed()));
        }
        Ok(())
    }

    fn gained(&self, new: Vec<u64>) {
        let now = self.taking.now();
        self.taking.swarm(|swarm| swarm.gained(now, self.source.id, new));
    }

    fn arrived(&self, index: u64) {
        let now = self.taking.now();
        self.taking.swarm(|swarm| swarm.arrived(now, self.source.id, index));
        if self.partial.is_whole() {
            self.finish_others();
        }
    }

    /// All is here: who owes an answer need not send it.
    fn finish_others(&self) {
        let mut state = self.taking.state();
        state.over = true;
        for (id, stream) in &state.streams {
            let owed = state.found.as_ref().and_then(|found| found.swarm.owed(*id));
            let is_quiet = owed == Some(0) && !state.asked_for_news.contains(id);
            if *id != self.source.id && !is_quiet {
                // Closed already is as good.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        drop(state);
        self.taking.changed.notify_all();
    }
}
