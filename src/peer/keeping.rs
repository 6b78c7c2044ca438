//! Keeping what the network gave us: values to the end of their lives, announcements, and the right to store.
//!
//! A value of ours is published again every hour by whoever keeps it first in that hour, which spares the others
//! (Kademlia §2.5). Whoever becomes one of its keepers is given it at once by the nearest of the old ones.

use super::trackers::Trackers;
use super::values::{LIFE, Values};
use super::*;
use crate::ground::krpc::{Announcement, Answer as Reply, Offer, Program, Refusal, Scrape, Want};
use crate::ground::{Item, address_id};
use crate::peer::placing::Thing;
use crate::peer::tokens::Tokens;

/// Time from a change among our contacts to looking who lacks what we keep: changes come in bursts.
const SETTLE: Duration = Duration::from_millis(500);
/// Most values handed over at once.
const MAX_HANDED: usize = 16;
/// Most values waiting to be handed over. What is beyond is published within the hour.
const MAX_WAITING: usize = 4096;

/// What a peer keeps for the network, apart from files.
pub(super) struct Keeping {
    pub values: Values,
    /// Values published here, to be published again as long as this peer lives.
    pub publications: Values,
    pub trackers: Trackers,
    pub tokens: Tokens,
    to_hand: VecDeque<(Contact, Id)>,
    handing: usize,
    /// When to look at what contacts have come, and who was known the last time.
    look_at: Moment,
    changes_seen: u64,
    known: BTreeSet<Id>,
}

impl Keeping {
    pub fn new(now: Moment, chance: &mut Chance) -> Keeping {
        Keeping {
            values: Values::default(),
            publications: Values::default(),
            trackers: Trackers::default(),
            tokens: Tokens::new(now, chance),
            to_hand: VecDeque::new(),
            handing: 0,
            look_at: Moment::NEVER,
            changes_seen: 0,
            known: BTreeSet::new(),
        }
    }

    pub fn due(&self) -> Moment {
        self.values.due().min(self.publications.due()).min(self.tokens.due()).min(self.look_at)
    }

    /// Nothing is being handed over, and nothing waits to be.
    pub fn is_idle(&self) -> bool {
        self.to_hand.is_empty() && self.handing == 0
    }
}

impl Peer {
    /// Does what is due.
    pub(super) fn go_on_keeping(&mut self, now: Moment) {
        if self.keeping.tokens.age(now, &mut self.chance) {
            self.note_tokens();
        }
        self.publish_due(now, |keeping| &mut keeping.values, Peer::forget_value);
        self.publish_due(now, |keeping| &mut keeping.publications, Peer::forget_publication);
        let changes = self.overlay.changes();
        if changes != self.keeping.changes_seen && self.keeping.look_at == Moment::NEVER {
            self.keeping.look_at = now + SETTLE;
        }
        if now >= self.keeping.look_at {
            self.keeping.look_at = Moment::NEVER;
            self.keeping.changes_seen = changes;
            self.look_for_new_keepers();
        }
        self.hand_values(now);
    }

    /// Publishes again what is due of these, and forgets what has come to its end.
    fn publish_due(&mut self, now: Moment, which: fn(&mut Keeping) -> &mut Values, forget: fn(&mut Peer, Id)) {
        while let Some(due) = which(&mut self.keeping).next_due(now) {
            match due {
                Ok(kept) if self.walks.are_busy_with_upkeep() => {
                    which(&mut self.keeping).put_off(now, kept.item.target(), &mut self.chance);
                }
                Ok(kept) => {
                    which(&mut self.keeping).published(now, kept.item.target(), &mut self.chance);
                    self.publish_again(now, kept.item, kept.expires.since(now));
                }
                Err(target) => forget(self, target),
            }
        }
    }

    /// Who has come and shall keep what we keep is given it, by the nearest of those who keep it now.
    fn look_for_new_keepers(&mut self) {
        let lifeline: BTreeSet<Id> = self.overlay.contacts().iter().map(|contact| contact.id).collect();
        let newcomers: Vec<Id> = lifeline.difference(&self.keeping.known).copied().collect();
        self.keeping.known = lifeline;
        if newcomers.is_empty() {
            return;
        }
        let (count, geometry) = (self.copies_wanted(), self.overlay.geometry());
        let ours = self.keeping.values.iter().filter(|(_, kept)| kept.republish_at != Moment::NEVER);
        let mut to_hand = Vec::new();
        for (target, _) in ours {
            let Some(keepers) = self.overlay.keepers(target, count, &Default::default()) else { continue };
            let mut old = keepers.iter().filter(|keeper| !newcomers.contains(keeper));
            let nearest_old = old.next().is_none_or(|nearest| *nearest == self.me.id);
            let nearest = nearest_old || !keepers.contains(&self.me.id) && geometry != crate::overlay::Geometry::Ring;
            let new = keepers.iter().filter(|keeper| nearest && newcomers.contains(keeper));
            to_hand.extend(new.filter_map(|keeper| self.overlay.contact(*keeper)).map(|contact| (contact, target)));
        }
        self.keeping.to_hand.extend(to_hand);
        self.keeping.to_hand.truncate(MAX_WAITING);
    }

    /// Who leaves gives what it keeps to those who will keep it then.
    pub(super) fn hand_all_values(&mut self, now: Moment) {
        let count = self.copies_wanted();
        let ours = self.keeping.values.iter().filter(|(_, kept)| kept.republish_at != Moment::NEVER);
        let mut to_hand = Vec::new();
        for (target, _) in ours {
            let keepers = self.overlay.keepers(target, count + 1, &Default::default()).unwrap_or_default();
            if let Some(last) = keepers.iter().rfind(|keeper| **keeper != self.me.id) {
                to_hand.extend(self.overlay.contact(*last).map(|contact| (contact, target)));
            }
        }
        self.keeping.to_hand = to_hand.into();
        self.hand_values(now);
    }

    fn hand_values(&mut self, now: Moment) {
        while self.keeping.handing < MAX_HANDED
            && let Some((contact, target)) = self.keeping.to_hand.pop_front()
        {
            let Some(kept) = self.keeping.values.get(now, target) else { continue };
            let question = Question::Get { target, seq: kept.item.seq() };
            self.keeping.handing += 1;
            self.ask(now, contact, question, Patience::Search, Why::HandValue(target));
        }
    }

    /// A new keeper said what it has.
    pub(super) fn hand_value_answered(&mut self, now: Moment, to: Contact, target: Id, answer: &Reply) {
        self.keeping.handing -= 1;
        if let Some(kept) = self.keeping.values.get(now, target)
            && answer.item.is_none()
            && answer.seq.is_none_or(|seq| Some(seq) < kept.item.seq())
            && !answer.token.is_empty()
            && Peer::fits_its_address(to)
        {
            let offer = Offer { item: kept.item.clone(), token: answer.token.clone(), cas: None, left: kept.left(now) };
            self.keeping.handing += 1;
            self.ask(now, to, Question::Put(Box::new(offer)), Patience::Search, Why::HandedValue);
        }
        self.hand_values(now);
    }

    /// A question about a value that is handed over has come to its end.
    pub(super) fn hand_value_ended(&mut self, now: Moment) {
        self.keeping.handing -= 1;
        self.hand_values(now);
    }

    /// From now on this peer sees to it that the value lives, up to a day.
    pub(super) fn promise(&mut self, now: Moment, item: Item) {
        let target = item.target();
        let offer = Offer { item, token: Vec::new(), cas: None, left: Some(LIFE) };
        if self.keeping.publications.put(now, &offer, &mut self.chance).is_ok() {
            self.note_publication(now, target);
        }
    }

    /// This version is there, signed: an earlier one shall not come back when it has come to its end.
    pub(super) fn outdate(&mut self, target: Id, seq: Option<i64>) {
        if self.keeping.values.outdate(target, seq) {
            self.forget_value(target);
        }
        if self.keeping.publications.outdate(target, seq) {
            self.forget_publication(target);
        }
    }

    /// We are one of the keepers ourselves.
    pub(super) fn keep_here(
        &mut self,
        now: Moment,
        target: Id,
        what: &Thing,
        cas: Option<i64>,
        left: Option<Duration>,
    ) -> Result<(), Refusal> {
        match what {
            Thing::Item(item) => {
                let offer = Offer { item: item.clone(), token: Vec::new(), cas, left };
                self.keeping.values.put(now, &offer, &mut self.chance)?;
                self.note_value(now, target);
            }
            Thing::Announcement { port, seed, file } => {
                let own = self.reached_at.first().copied().unwrap_or(self.me.addr);
                if own.ip().is_unspecified() {
                    // We listen everywhere, and do not know where others find us.
                    return Err(Refusal::new(202, "whoever asks could not come here"));
                }
                let addr = SocketAddr::new(own.ip(), port.unwrap_or(own.port()));
                // Who listens at all addresses does not know which one others reach: they note the one they see.
                if !addr.ip().is_unspecified() {
                    self.keeping.trackers.put(now, target, addr, *seed, *file);
                }
            }
            Thing::Next(_) => unreachable!("its version is known before it is kept anywhere"),
        }
        Ok(())
    }

    /// Whom we name to who asks about a target, in the address families wanted.
    pub(super) fn name(&self, asker: SocketAddr, target: Id, want: Want) -> Vec<Contact> {
        let count = krpc_nodes(self.copies_wanted());
        let (v4, v6) = if want == Want::default() { (asker.is_ipv4(), asker.is_ipv6()) } else { (want.v4, want.v6) };
        let wanted = |contact: &Contact| if contact.addr.is_ipv4() { v4 } else { v6 };
        let near = self.overlay.near(target, count).contacts;
        near.into_iter().filter(|contact| contact.addr != asker && wanted(contact)).collect()
    }

    pub(super) fn answer_get(
        &mut self,
        now: Moment,
        from: SocketAddr,
        target: Id,
        seq: Option<i64>,
        want: Want,
    ) -> Reply {
        let nodes = self.name(from, target, want);
        let mut answer = Reply { nodes, ..Reply::default() };
        match self.keeping.values.get(now, target) {
            Some(kept) if seq.is_some() && kept.item.seq() <= seq => answer.seq = kept.item.seq(),
            Some(kept) => {
                answer.item = Some(Box::new(kept.item.clone()));
                answer.left = kept.left(now);
            }
            None => {}
        }
        if !self.keeping.values.is_full() || answer.item.is_some() || answer.seq.is_some() {
            answer.token = self.keeping.tokens.give(from, target);
        }
        answer
    }

    pub(super) fn answer_put(&mut self, now: Moment, from: SocketAddr, offer: &Offer) -> Result<Reply, Refusal> {
        let target = offer.item.target();
        if !self.keeping.tokens.is_good(&offer.token, from, target) {
            return Err(Refusal::protocol("bad token"));
        }
        self.keeping.values.put(now, offer, &mut self.chance)?;
        self.outdate(target, offer.item.seq());
        self.note_value(now, target);
        Ok(Reply::default())
    }

    pub(super) fn answer_get_peers(
        &mut self,
        now: Moment,
        from: SocketAddr,
        program: Program,
        info_hash: Id,
        scrape: bool,
        want: Want,
    ) -> Reply {
        let nodes = self.name(from, info_hash, want);
        let full = self.keeping.trackers.is_full_for(now, info_hash);
        let trackers = &self.keeping.trackers;
        let peers = trackers.peers(now, info_hash, from.is_ipv6(), &mut self.chance);
        let ours = program != Program::Stranger;
        let token = if full { Vec::new() } else { self.keeping.tokens.give(from, info_hash) };
        Reply {
            nodes,
            files: self.shelf.holding(info_hash).filter(|_| ours).into_iter().collect(),
            told: trackers.told(now, info_hash).filter(|_| ours).map(Box::new),
            scrape: scrape.then(|| Box::<Scrape>::new(trackers.scrape(now, info_hash))),
            peers,
            token,
            ..Reply::default()
        }
    }

    pub(super) fn answer_announce(
        &mut self,
        now: Moment,
        from: SocketAddr,
        asker: Contact,
        said: &Announcement,
    ) -> Result<Reply, Refusal> {
        if !self.keeping.tokens.is_good(&said.token, from, said.info_hash) {
            return Err(Refusal::protocol("bad token"));
        }
        // Nobody is sent to where the asker only says that it is.
        let has_answered = self.overlay.contact(asker.id) == Some(asker) || self.rpc.expected(asker.addr).is_some();
        let at = if has_answered { asker.addr } else { from };
        let addr = SocketAddr::new(at.ip(), said.port.unwrap_or(at.port()));
        let kept = self.keeping.trackers.put(now, said.info_hash, addr, said.seed, said.file);
        if kept { Ok(Reply::default()) } else { Err(Refusal::new(202, "full")) }
    }

    pub(super) fn answer_sample(&mut self, now: Moment, asker: SocketAddr, target: Id, want: Want) -> Reply {
        let samples = Some(self.keeping.trackers.samples(now, &mut self.chance));
        Reply { nodes: self.name(asker, target, want), samples: samples.map(Box::new), ..Reply::default() }
    }

    /// Whether a stranger's id fits its address: who chose another may be lying in wait for a value (BEP 42).
    pub(super) fn fits_its_address(contact: Contact) -> bool {
        address_id::matches(contact.id, contact.addr.ip())
    }
}

/// As many nodes as copies are wanted, but not more than strangers take.
fn krpc_nodes(copies: usize) -> usize {
    copies.clamp(crate::ground::krpc::MAX_NODES_FOR_STRANGERS, 16)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outputs, peer};
    use super::*;

    #[test]
    fn nobody_is_told_to_come_to_an_address_that_is_none() {
        for (addr, known) in [("127.0.0.1:12001", true), ("0.0.0.0:12001", false)] {
            let mut peer = peer(addr, Start::Ring(Vec::new()), Vec::new());
            let info_hash = Id::hashed(b"torrent");
            for command in [
                Command::Announce { info_hash, port: None, seed: true },
                Command::FindPeers { info_hash, scrape: false },
            ] {
                outputs(&mut peer);
                peer.handle(Moment::START, Input::Command { ticket: Ticket(1), command });
            }
            let found = |output: &Output| matches!(output, Output::Answer { answer: Answer::Peers { peers, .. }, .. } if !peers.is_empty());
            assert_eq!(outputs(&mut peer).iter().any(found), known, "{addr}");
        }
    }
}
