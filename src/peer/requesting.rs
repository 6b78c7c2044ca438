//! A request's bytes on their way here.

use super::answering::PendingLook;
use super::errands::{ErrandJob, Goal, Phase};
use super::holders::Holders;
use super::*;
use crate::ground::Holding;

/// How often a request starts anew because a holder had another version by the time it was asked for this one. Guess.
const MAX_REPLACED: usize = 3;

/// A request under way.
pub(super) struct Request {
    /// Which version is wanted; none: the one that answers.
    version: Option<u64>,
    /// Who has what.
    pub holders: Holders,
    /// Who was asked for the bytes already.
    tried: BTreeSet<Id>,
    replaced: usize,
    last_error: Option<MoveError>,
}

impl Request {
    pub fn new(version: Option<u64>) -> Request {
        Request { version, holders: Holders::default(), tried: BTreeSet::new(), replaced: 0, last_error: None }
    }

    /// Somebody has what is wanted.
    pub fn has_found(&self) -> bool {
        self.wanted().is_some()
    }

    /// The version to be fetched, of those heard of.
    fn wanted(&self) -> Option<Holding> {
        self.holders.best(|holding| self.version.is_none_or(|version| version == holding.version))
    }
}

impl Peer {
    /// The keepers are found, the owner first.
    pub(super) fn request_from(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, keepers: Vec<Contact>) {
        let held: Vec<Holding> = self.held_of(job.name.key());
        let me = self.me;
        let Goal::Request(request) = &mut job.goal else { unreachable!("only requests are requested") };
        let own = keepers.first() == Some(&me);
        request.holders.found(keepers);
        request.holders.heard(me, &held, false);
        if own && held.is_empty() && job.name.four_digits().is_some() {
            return self.look_here(id, job);
        }
        if own {
            let there = held.first().is_some_and(|held| !held.content.is_removed());
            self.news(if there { News::FileHere(job.name.clone()) } else { News::NotHere(job.name.clone()) });
        }
        self.fetch_next(now, id, job);
    }

    /// All versions of a file that are here.
    pub(super) fn held_of(&self, key: Id) -> Vec<Holding> {
        self.shelf.versions(key).map(|(manifest, _)| manifest.holding()).collect()
    }

    /// We are the owner, and look into our folder.
    pub(super) fn look_here(&mut self, id: ErrandId, mut job: ErrandJob) {
        job.phase = Phase::Looking;
        self.look(job.name.clone(), PendingLook::Errand(id));
        self.errands.insert(id, job);
    }

    pub(super) fn errand_looked(&mut self, now: Moment, id: ErrandId, found: bool) {
        let Some(mut job) = self.errands.remove(&id) else { return };
        if let Some(holders) = job.goal.holders() {
            holders.heard(self.me, &[], found);
        }
        if let Goal::Request(_) = job.goal {
            self.news(if found { News::FileHere(job.name.clone()) } else { News::NotHere(job.name.clone()) });
        }
        self.all_asked(now, id, job);
    }

    /// Asks all who should hold a copy what they have: an owner that was away may have an old version. Then fetches the
    /// best version from all who have it and were not tried yet; when there is nobody asks keepers further on; ends when
    /// there is nobody then.
    pub(super) fn fetch_next(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob) {
        let Goal::Request(request) = &mut job.goal else { unreachable!("only requests are requested") };
        job.phase = Phase::Moving;
        let wanted = request.wanted();
        let untried = match wanted {
            Some(wanted) => request.holders.of(&wanted, |id| !request.tried.contains(&id)),
            None => request.holders.lying(|id| !request.tried.contains(&id)),
        };
        let some = !untried.is_empty() || wanted.is_some_and(|wanted| wanted.content.is_removed());
        if let Some(unasked) = request.holders.survey(if some { self.replicas } else { holders::KEEPERS_ASKED }) {
            return self.ask_holders(now, id, job, unasked);
        }
        if wanted.is_some_and(|wanted| wanted.content.is_removed()) {
            return self.end_request(job);
        }
        if untried.is_empty() {
            let announced = request.holders.take_announced();
            return match announced.is_empty() {
                true => self.end_request(job),
                false => self.ask_announced(now, id, job, announced),
            };
        }
        let (name, order) = (job.name.clone(), job.ticket);
        let content = wanted.map(|wanted| wanted.content);
        let here = untried.contains(&self.me);
        // In the classic ring people see the file come from its owner.
        let from = match self.kind {
            Kind::Ring(RingTuning { fingers: 1.., .. }) | Kind::Kademlia(_) if here => vec![self.me],
            _ if untried[0] == self.me => vec![self.me],
            // What lies in a folder may be different bytes in each.
            _ if content.is_none() => vec![untried[0]],
            _ => untried.into_iter().filter(|holder| *holder != self.me).collect(),
        };
        request.tried.extend(from.iter().map(|holder| holder.id));
        let first = from[0];
        let task = match first == self.me {
            true => Move::Deliver { name, content, order },
            false => Move::Download { name, content, from, order },
        };
        self.errands.insert(id, job);
        self.move_bytes(MovePurpose::Request(id, first), task);
    }

    fn end_request(&mut self, job: ErrandJob) {
        let Goal::Request(request) = job.goal else { unreachable!("only requests are requested") };
        let wanted = request.wanted().filter(|wanted| !wanted.content.is_removed());
        let damaged = request.last_error == Some(MoveError::Damaged);
        let answer = match request.last_error {
            Some(error) if !damaged => {
                let reason = format!("nobody who has it could send it: the last one {error}");
                Answer::Failed { name: job.name, reason }
            }
            Some(_) | None => {
                let latest = request.holders.best(|_| true).filter(|latest| !latest.content.is_removed());
                let absence = match latest {
                    _ if damaged && wanted.is_some() => Absence::Damaged,
                    Some(latest) if wanted.is_none() => Absence::NoSuchVersion { latest: latest.version },
                    _ => request.holders.absence(),
                };
                Answer::NotFound { name: job.name, asked: request.holders.asked(), absence }
            }
        };
        self.answer(job.ticket, answer);
    }

    /// A download came to its end.
    pub(super) fn downloaded(&mut self, now: Moment, id: ErrandId, from: Contact, outcome: Result<(), MoveError>) {
        if let Err(MoveError::Unreachable(_)) = outcome {
            self.verify_known(now, from);
        }
        let Some(mut job) = self.errands.remove(&id) else { return };
        let held = self.held_of(job.name.key());
        let Goal::Request(request) = &mut job.goal else { unreachable!("only requests are requested") };
        match outcome {
            Ok(()) => self.answer(job.ticket, Answer::Fetched { name: job.name, from: from.id }),
            Err(MoveError::Local(reason)) => self.answer(job.ticket, Answer::Failed { name: job.name, reason }),
            Err(MoveError::Missing) if request.replaced < MAX_REPLACED => {
                // It had it a moment ago: a store is replacing the version. All are asked anew.
                request.replaced += 1;
                request.tried.clear();
                request.holders.forget_answers();
                request.holders.heard(self.me, &held, false);
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
