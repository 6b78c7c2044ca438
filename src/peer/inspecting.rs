//! Who holds a file, in which versions, and whether their bytes are right.

use super::errands::{ErrandJob, Goal, Phase};
use super::holders::{Holders, KEEPERS_ASKED};
use super::*;
use crate::ground::{Copy, Health, Holding};

/// An inspection under way.
pub(super) struct Inspection {
    verify: bool,
    mend: bool,
    pub holders: Holders,
    waiting: usize,
    found: Vec<(Id, Vec<Copy>)>,
}

impl Inspection {
    pub fn new(verify: bool, mend: bool) -> Inspection {
        Inspection { verify, mend, holders: Holders::default(), waiting: 0, found: Vec::new() }
    }
}

impl Peer {
    /// The keepers are found, the owner first.
    pub(super) fn inspect_at(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, keepers: Vec<Contact>) {
        let (me, held) = (self.me, self.held_of(job.name.key()));
        let Goal::Inspect(inspection) = &mut job.goal else { unreachable!("only inspections are inspected") };
        inspection.holders.found(keepers);
        inspection.holders.heard(me, &held, false);
        self.inspect_next(now, id, job);
    }

    /// Asks all who may hold it, then has a look at what they hold.
    pub(super) fn inspect_next(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob) {
        let Goal::Inspect(inspection) = &mut job.goal else { unreachable!("only inspections are inspected") };
        if let Some(unasked) = inspection.holders.survey(KEEPERS_ASKED) {
            return self.ask_holders(now, id, job, unasked);
        }
        let announced = inspection.holders.take_announced();
        if !announced.is_empty() {
            return self.ask_announced(now, id, job, announced);
        }
        job.phase = Phase::Moving;
        let holders = inspection.holders.all();
        inspection.waiting = holders.len();
        let (name, verify) = (job.name.clone(), inspection.verify);
        if holders.is_empty() {
            return self.end_inspection(now, job);
        }
        self.errands.insert(id, job);
        for at in holders {
            let task = Move::Inspect { name: name.clone(), at, verify };
            self.move_bytes(MovePurpose::Inspect(id, at), task);
        }
    }

    pub(super) fn inspected(&mut self, now: Moment, id: ErrandId, at: Contact, outcome: Result<Vec<Copy>, MoveError>) {
        let Some(mut job) = self.errands.remove(&id) else { return };
        let Goal::Inspect(inspection) = &mut job.goal else { unreachable!("only inspections are inspected") };
        inspection.waiting -= 1;
        match outcome {
            Ok(copies) if copies.is_empty() => {}
            Ok(copies) => inspection.found.push((at.id, copies)),
            Err(_) => inspection.holders.lost(at.id),
        }
        if inspection.waiting == 0 { self.end_inspection(now, job) } else { drop(self.errands.insert(id, job)) }
    }

    fn end_inspection(&mut self, now: Moment, job: ErrandJob) {
        let Goal::Inspect(mut inspection) = job.goal else { unreachable!("only inspections are inspected") };
        let (place, geometry) = (self.naming.place(&job.name), self.overlay.geometry());
        inspection.found.sort_by_key(|(holder, _)| geometry.keeping(*holder, place));
        if inspection.mend {
            self.have_mended(now, job.name.key(), &inspection);
        }
        let answer = Answer::Inspected {
            name: job.name,
            holders: inspection.found,
            wanted: self.replicas.min(inspection.holders.asked()),
            asked: inspection.holders.asked(),
            absence: inspection.holders.absence(),
        };
        self.answer(job.ticket, answer);
    }

    /// Whoever has a good copy is told that others lack it; where nobody has, all that there is may make one.
    fn have_mended(&mut self, now: Moment, key: Id, inspection: &Inspection) {
        let good = |copy: &Copy| !matches!(copy.health, Health::Damaged { .. });
        let whole = |id: Id| inspection.found.iter().any(|(holder, copies)| *holder == id && copies.iter().any(good));
        let file = Holding::any(key);
        let all = inspection.holders.all();
        let nobody = !all.iter().any(|holder| whole(holder.id));
        for holder in all.into_iter().filter(|holder| nobody || whole(holder.id)) {
            if holder == self.me {
                self.mend(now, &[file]);
            } else {
                self.ask(now, holder, Question::Mend(vec![file]), Patience::Search, Why::Told);
            }
        }
    }
}
