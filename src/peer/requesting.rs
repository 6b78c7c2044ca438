//! A request's bytes on their way here.

use super::answering::PendingLook;
use super::errands::{ErrandJob, Goal, Phase};
use super::*;
use crate::ground::{Content, Holding};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How many keepers are asked for a file before it counts as nowhere: more than hold copies, in case of changes.
const KEEPERS_ASKED: usize = 8;

/// Most of those who announced a file that are asked for it.
const MAX_ANNOUNCED: usize = 16;

/// How often a request starts anew because of that. Guess.
const MAX_REPLACED: usize = 3;

/// A request under way.
#[derive(Default)]
pub(super) struct Request {
    /// Who shall keep it, the owner first.
    keepers: Vec<Contact>,
    /// How many of them have been asked what they hold, or need not be.
    surveyed: usize,
    asked: BTreeSet<Id>,
    /// Who announced the file, and was not asked yet.
    announced: BTreeSet<SocketAddr>,
    holders: Vec<Holder>,
    /// How many holders have been tried: they stand first.
    tried: usize,
    /// How often a holder turned out to have another version by now.
    replaced: usize,
    last_error: Option<MoveError>,
}

#[derive(Clone, Copy)]
struct Holder {
    contact: Contact,
    /// Unknown where it lies in the holder's folder.
    holding: Option<Holding>,
}

impl Request {
    /// Forgets what everybody said.
    fn start_anew(&mut self) {
        self.asked.clear();
        self.holders.clear();
        (self.tried, self.surveyed) = (0, 0);
    }

    /// These have announced the file.
    pub fn heard_of(&mut self, holders: &[SocketAddr]) {
        let room = MAX_ANNOUNCED.saturating_sub(self.announced.len());
        self.announced.extend(holders.iter().take(room));
    }

    /// A peer said what it has.
    pub fn heard(&mut self, contact: Contact, holding: Option<Holding>, lying: bool) {
        self.asked.insert(contact.id);
        let known = self.holders.iter().any(|holder| holder.contact.id == contact.id);
        if (holding.is_some() || lying) && !known {
            self.holders.push(Holder { contact, holding });
        }
    }
}

impl Peer {
    /// The keepers are found, the owner first.
    pub(super) fn request_from(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, keepers: Vec<Contact>) {
        let Goal::Request(request) = &mut job.goal else { unreachable!("only requests are requested") };
        let own = keepers.first() == Some(&self.me);
        request.keepers = keepers;
        let held = self.shelf.named(&job.name);
        request.heard(self.me, held, false);
        if own && held.is_none() && job.name.four_digits().is_some() {
            job.phase = Phase::Looking;
            let ticket = self.fresh_ticket();
            self.looks.insert(ticket, PendingLook::Errand(id));
            self.out.push_back(Output::Look { ticket, name: job.name.clone() });
            return drop(self.errands.insert(id, job));
        }
        if own {
            self.news(if held.is_some() { News::FileHere(job.name.clone()) } else { News::NotHere(job.name.clone()) });
        }
        self.fetch_next(now, id, job);
    }

    /// We are the owner, and have looked into our folder.
    pub(super) fn errand_looked(&mut self, now: Moment, id: ErrandId, found: bool) {
        let Some(mut job) = self.errands.remove(&id) else { return };
        if let Goal::Request(request) = &mut job.goal {
            request.heard(self.me, None, found);
        }
        self.news(if found { News::FileHere(job.name.clone()) } else { News::NotHere(job.name.clone()) });
        self.fetch_next(now, id, job);
    }

    /// Asks all who should hold a copy what they have: an owner that was away may have an old version. Then fetches from
    /// the best holder not yet tried; when there is none asks keepers further on; ends when there is none then.
    pub(super) fn fetch_next(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob) {
        let Goal::Request(request) = &mut job.goal else { unreachable!("only requests are requested") };
        job.phase = Phase::Moving;
        let place = self.naming.place(&job.name);
        let geometry = self.overlay.geometry();
        // The latest version first; of its holders the owner first; a file that only lies in a folder last.
        request.holders[request.tried..].sort_by_key(|holder| {
            let rank = holder.holding.map(|holding| holding.rank());
            (Reverse(rank), geometry.keeping(holder.contact.id, place))
        });
        let untried = request.holders.get(request.tried).copied();
        let enough = if untried.is_some() { self.replicas } else { KEEPERS_ASKED.max(self.replicas) };
        if request.surveyed < enough {
            return self.survey(now, id, job, enough);
        }
        let Some(holder) = untried else {
            let announced = std::mem::take(&mut request.announced);
            return if announced.is_empty() {
                self.end_request(job)
            } else {
                self.ask_announced(now, id, job, announced)
            };
        };
        request.tried += 1;
        let content = holder.holding.map(|holding| holding.content);
        let (name, order) = (job.name.clone(), job.ticket);
        let task = match holder.contact == self.me {
            true => Move::Deliver { name, content, order },
            false => Move::Download { name, content, from: holder.contact, order },
        };
        self.errands.insert(id, job);
        self.move_bytes(MovePurpose::Request(id, holder.contact), task);
    }

    /// Asks the first `count` keepers what they hold, where that is not known.
    fn survey(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, count: usize) {
        let Goal::Request(request) = &mut job.goal else { unreachable!("only requests are requested") };
        request.surveyed = count;
        let unasked = |keeper: &&Contact| !request.asked.contains(&keeper.id);
        let keepers: Vec<Contact> = request.keepers.iter().take(count).filter(unasked).copied().collect();
        if keepers.is_empty() {
            return self.fetch_next(now, id, job);
        }
        job.phase = Phase::Asking(keepers.iter().map(|keeper| keeper.addr).collect());
        let wanted = any_version(&job.name);
        self.errands.insert(id, job);
        for keeper in keepers {
            let question = Question::Holds(vec![wanted]);
            self.ask(now, keeper, question, Patience::Search, Why::Errand(id, keeper));
        }
    }

    fn end_request(&mut self, job: ErrandJob) {
        let Goal::Request(request) = job.goal else { unreachable!("only requests are requested") };
        let answer = match request.last_error {
            Some(error) => {
                let reason = format!("nobody who has it could send it: the last one {error}");
                Answer::Failed { name: job.name, reason }
            }
            None => Answer::NotFound { name: job.name, asked: request.asked.len() },
        };
        self.answer(job.ticket, answer);
    }

    /// No keeper has it: perhaps somebody does who announced it, and is a keeper no more.
    fn ask_announced(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, announced: BTreeSet<SocketAddr>) {
        job.phase = Phase::Asking(announced.clone());
        let wanted = any_version(&job.name);
        self.errands.insert(id, job);
        for addr in announced {
            let question = Question::Holds(vec![wanted]);
            self.ask_anyone(now, addr, None, question, Patience::Search, Why::Holder(id, addr));
        }
    }

    /// A download came to its end.
    pub(super) fn downloaded(&mut self, now: Moment, id: ErrandId, from: Contact, outcome: Result<(), MoveError>) {
        if let Err(MoveError::Unreachable(_)) = outcome {
            self.verify_known(now, from);
        }
        let Some(mut job) = self.errands.remove(&id) else { return };
        let Goal::Request(request) = &mut job.goal else { unreachable!("only requests are requested") };
        match outcome {
            Ok(()) => self.answer(job.ticket, Answer::Fetched { name: job.name, from: from.id }),
            Err(MoveError::Local(reason)) => self.answer(job.ticket, Answer::Failed { name: job.name, reason }),
            Err(MoveError::Missing) if request.replaced < MAX_REPLACED => {
                // It had it a moment ago: a store is replacing the version. All are asked anew.
                request.replaced += 1;
                request.start_anew();
                request.heard(self.me, self.shelf.named(&job.name), false);
                self.fetch_next(now, id, job);
            }
            Err(error) => {
                request.last_error = Some(error.clone());
                self.news(News::HolderFailed { name: job.name.clone(), holder: from.id, error });
                self.fetch_next(now, id, job);
            }
        }
    }
}

/// A question about a file, whatever its version.
fn any_version(name: &FileName) -> Holding {
    let nothing = Content { hash: [0; Content::HASH_LEN], len_bytes: 0 };
    Holding { key: name.key(), version: 0, content: nothing }
}
