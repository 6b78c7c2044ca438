//! Our questions: why they were asked, and what becomes of them. Each ends in one of three ways: answered, refused,
//! silent; before that it may be late.

use super::rpc::{Flags, Patience};
use super::*;
use crate::ground::krpc::{self, Program, Question, Refusal, Want};

/// Why a question was asked: where its answer belongs.
#[derive(Clone, Debug)]
pub(super) enum Why {
    /// A shown round of pings.
    Round(Contact),
    /// Does it live?
    Verify(Contact),
    /// Whom does it know near us?
    Consult(Contact),
    /// Does somebody presumed dead live after all?
    Grave,
    /// Is the network there that we joined by this address?
    Known,
    /// "I am here", "my successor changed": the answer says no more than that it was heard.
    Notice(Contact),
    /// "I leave."
    Goodbye,
    /// On the way to our place.
    Joining(joining::Asked),
    /// For a store or request.
    Errand(ErrandId, Contact),
    /// For what is learnt on the way.
    Refresh(upkeep::RefreshId, Contact),
    /// Does it hold the files it should?
    Offer(Contact, Vec<Holding>),
    /// It shall know, and need not say anything.
    Told,
    /// Whom does it know near itself? For a list.
    Crawl(ErrandId, Contact),
    /// For a lookup that is told step by step.
    LookUp(ErrandId, Contact),
    /// What does this announced holder of a file hold?
    Holder(ErrandId, SocketAddr),
    /// For a value or torrent.
    Walk(walks::WalkId, Contact),
    /// Keep this, for a walk.
    Place(walks::WalkId, Contact),
    /// Keep this for a while, to shorten others' way.
    Cached,
    /// Does a new keeper have the value with this target?
    HandValue(Id),
    /// It lacked it.
    HandedValue,
    /// Somebody wants to know how long it takes to answer.
    Pinged(Ticket),
}

impl Peer {
    /// A question is not answered yet.
    pub(super) fn late(&mut self, now: Moment, why: &Why, attempts: u32) {
        match why {
            Why::Round(contact) | Why::Verify(contact) | Why::Consult(contact) => self.missed(now, *contact, attempts),
            Why::Errand(errand, contact) => self.errand_late(now, *errand, *contact, attempts),
            Why::Refresh(refresh, contact) => self.refresh_late(now, *refresh, *contact, attempts),
            Why::Joining(asked) => self.joining_late(now, asked, attempts),
            Why::Walk(walk, contact) => self.walk_late(now, *walk, *contact, attempts),
            Why::LookUp(lookup, contact) => self.lookup_late(now, *lookup, *contact, attempts),
            Why::Place(walk, contact) => self.placed_late(now, *walk, *contact),
            Why::Pinged(ticket) => self.ping_late(now, *ticket),
            Why::Grave | Why::Known | Why::Notice(_) | Why::Goodbye | Why::Offer(..) | Why::Holder(..) => {}
            Why::Told | Why::Crawl(..) => {}
            Why::Cached | Why::HandValue(..) | Why::HandedValue => {}
        }
    }

    /// A question will not be answered.
    pub(super) fn silent(&mut self, now: Moment, why: Why) {
        match why {
            Why::Round(contact) | Why::Verify(contact) | Why::Consult(contact) => self.unanswered(now, contact),
            Why::Notice(contact) => self.verify(now, contact),
            Why::Grave | Why::Known | Why::Goodbye => {}
            Why::Joining(asked) => self.joining_silent(now, asked),
            Why::Errand(errand, contact) => {
                self.verify_known(now, contact);
                self.errand_unanswered(now, errand, contact);
            }
            Why::Refresh(refresh, contact) => {
                self.verify_known(now, contact);
                self.refresh_unanswered(now, refresh, contact);
            }
            Why::Offer(contact, files) => {
                self.verify_known(now, contact);
                self.offer_unanswered(now, &files);
            }
            Why::Told => {}
            Why::Crawl(list, contact) => {
                self.verify_known(now, contact);
                self.crawl_unanswered(now, list);
            }
            Why::LookUp(lookup, contact) => {
                self.verify_known(now, contact);
                self.lookup_unanswered(now, lookup, contact);
            }
            Why::Holder(errand, addr) => self.holder_unanswered(now, errand, addr),
            Why::Walk(walk, contact) => {
                self.verify_known(now, contact);
                self.walk_unanswered(now, walk, contact);
            }
            Why::Place(walk, contact) => {
                self.verify_known(now, contact);
                self.placed(now, walk, contact, None);
            }
            Why::Cached => {}
            Why::HandValue(..) | Why::HandedValue => self.hand_value_ended(now),
            Why::Pinged(ticket) => self.ping_unanswered(ticket),
        }
    }

    pub(super) fn ask(&mut self, now: Moment, to: Contact, question: Question, patience: Patience, why: Why) {
        self.ask_anyone(now, to.addr, Some(to.id), question, patience, why);
    }

    pub(super) fn ask_anyone(
        &mut self,
        now: Moment,
        to: SocketAddr,
        expected: Option<Id>,
        question: Question,
        patience: Patience,
        why: Why,
    ) {
        let want = Want { v4: self.families.both(), v6: self.families.both() };
        let read_only = self.read_only || self.standing == Standing::Joining;
        let (leaving, reached_at) = (self.standing == Standing::Leaving, self.reached_from(to));
        let flags = Flags { read_only, leaving, reached_at, program: self.program, want };
        let bytes = self.rpc.ask(now, to, expected, question, flags, patience, why);
        // What may not be sent now is as good as lost on the way: it is asked again.
        if self.is_proven(to) || self.gate.may_call(now, to) {
            self.out.push_back(Output::Send { to, bytes });
        }
    }

    /// An answer, from the contact asked.
    pub(super) fn receive_answer(
        &mut self,
        now: Moment,
        contact: Contact,
        program: Program,
        why: Why,
        answer: krpc::Answer,
    ) {
        match why {
            Why::Round(_) => self.news(News::PingAnswered(contact.id)),
            // That it answered is all there is to know. A goodbye is believed when its hearer asks back.
            Why::Verify(_) | Why::Grave | Why::Notice(_) | Why::Goodbye => {}
            Why::Known => self.found_again(now, contact),
            Why::Consult(_) => self.learn(now, contact, &answer),
            Why::Joining(asked) => self.joining_answered(now, asked, contact, &answer),
            Why::Errand(errand, asked) => self.errand_answered(now, errand, asked, contact, answer),
            Why::Refresh(refresh, _) => self.refresh_answered(now, refresh, contact, &answer.nodes),
            Why::Offer(_, files) => self.offer_answered(now, contact, files, &answer),
            Why::Told => {}
            Why::Crawl(list, _) => self.crawl_answered(now, list, contact, &answer),
            Why::LookUp(lookup, _) => self.lookup_answered(now, lookup, contact, &answer),
            Why::Holder(errand, addr) => self.holder_answered(now, errand, addr, contact, &answer),
            Why::Walk(walk, asked) => self.walk_answered(now, walk, asked, (contact, program), answer),
            Why::Place(walk, _) => self.placed(now, walk, contact, Some(Ok(()))),
            Why::Cached => {}
            Why::HandValue(target) => self.hand_value_answered(now, contact, target, &answer),
            Why::HandedValue => self.hand_value_ended(now),
            Why::Pinged(ticket) => self.ping_answered(now, ticket, contact),
        }
    }

    /// Somebody lives there, but does not answer this now.
    pub(super) fn refused(&mut self, now: Moment, why: Why, refusal: Refusal) {
        match why {
            Why::Joining(asked) => self.joining_refused(now, asked),
            Why::Errand(errand, contact) => self.errand_unanswered(now, errand, contact),
            Why::Refresh(refresh, contact) => self.refresh_unanswered(now, refresh, contact),
            Why::Offer(_, files) => self.offer_unanswered(now, &files),
            Why::Told => {}
            Why::Crawl(list, _) => self.crawl_unanswered(now, list),
            Why::LookUp(lookup, contact) => self.lookup_unanswered(now, lookup, contact),
            Why::Verify(contact) => self.verify_refused(now, contact),
            Why::Holder(errand, addr) => self.holder_unanswered(now, errand, addr),
            Why::Walk(walk, contact) => self.walk_unanswered(now, walk, contact),
            Why::Place(walk, contact) => self.placed(now, walk, contact, Some(Err(refusal))),
            Why::HandValue(..) | Why::HandedValue => self.hand_value_ended(now),
            Why::Pinged(ticket) => self.ping_unanswered(ticket),
            Why::Round(_) | Why::Consult(_) | Why::Grave | Why::Known | Why::Notice(_) | Why::Goodbye | Why::Cached => {
            }
        }
    }
}
