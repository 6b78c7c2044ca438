//! Who lives: misses, suspicion, death, and the memory of the dead.
//!
//! Three attempts without an answer make a peer silent. Silent and its port closed: dead. Silent while its machine
//! still holds the port open (paused, or busy to the last cycle): suspect, passed over, asked on, and dead only when
//! it has been silent for [`SILENCE_LIMIT`]. The dead are remembered and asked again: that is the ring's only memory
//! of a partition.

use super::*;
use crate::ground::krpc::Ping;
use crate::overlay::ring::START_UP_GRACE;
use std::collections::BTreeSet;

/// However busy it is, a peer silent for so long is dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(55);
/// First wait before a dead peer is asked again; doubles each time.
const GRAVE_FIRST: Duration = Duration::from_secs(60);
/// Longest wait between two questions to a dead peer.
const GRAVE_LONGEST: Duration = Duration::from_secs(16 * 60);
/// Most dead remembered: both neighbourhoods of 16, twice over.
const MAX_GRAVES: usize = 64;
/// Most unanswered pings to peers only heard of: what strangers can make us send.
const MAX_VERIFYING: usize = 128;

/// What an answer proves.
pub(super) enum Proof {
    /// It lives.
    Alive,
    /// It lives, and is about to go.
    Leaving,
    /// Another peer answers at its address.
    SomebodyElse { instead_of: Option<Id> },
}

/// What is known of lives.
pub(super) struct Liveness {
    /// Successors named at the start and not yet heard, until when they may be silent.
    expected: BTreeMap<Id, Moment>,
    verifying: BTreeSet<Id>,
    suspects: BTreeMap<Id, Suspect>,
    graves: BTreeMap<Id, Grave>,
    /// When one of them is to be asked again.
    graves_due: Moment,
}

struct Suspect {
    contact: Contact,
    since: Moment,
    silent: bool,
    /// People know of the suspicion.
    told: bool,
    /// A neighbour says that it is dead.
    told_dead: bool,
    port: Port,
}

impl Suspect {
    fn new(contact: Contact, since: Moment) -> Suspect {
        Suspect { contact, since, silent: false, told: false, told_dead: false, port: Port::Unknown }
    }
}

/// What is known of a suspect's port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Unknown,
    /// A probe is under way. One is enough: a paused peer's queue of connections is soon full.
    Asked,
    Open,
    Closed,
}

struct Grave {
    contact: Contact,
    ask_at: Moment,
    wait: Duration,
}

impl Liveness {
    pub fn expecting(now: Moment, contacts: &[Contact]) -> Liveness {
        let expected = contacts.iter().map(|contact| (contact.id, now + START_UP_GRACE)).collect();
        Liveness {
            expected,
            verifying: BTreeSet::new(),
            suspects: BTreeMap::new(),
            graves: BTreeMap::new(),
            graves_due: Moment::NEVER,
        }
    }

    /// It was named at the start and has not been heard yet.
    pub fn awaits(&self, id: Id) -> bool {
        self.expected.contains_key(&id)
    }

    /// How long a shown ping waits: a successor that may not have been started yet is pinged until it has been.
    pub fn patience_with(&self, id: Id) -> Patience {
        self.expected.get(&id).map_or(Patience::Ping, |until| Patience::Until(*until))
    }

    /// It has answered something.
    pub fn heard(&mut self, id: Id) {
        self.verifying.remove(&id);
        self.suspects.remove(&id);
        self.expected.remove(&id);
    }

    pub fn due(&self) -> Moment {
        self.graves_due
    }

    /// A grave has changed.
    fn look_which_is_due(&mut self) {
        self.graves_due = self.graves.values().map(|grave| grave.ask_at).min().unwrap_or(Moment::NEVER);
    }
}

impl Peer {
    /// Pings a peer quietly, unless that is under way. Our contacts always: there are only so many, and strangers who
    /// knock all the time must not keep us from looking after them.
    pub(super) fn verify(&mut self, now: Moment, contact: Contact) {
        let room = self.liveness.verifying.len() < MAX_VERIFYING || self.overlay.contact(contact.id) == Some(contact);
        if room && self.liveness.verifying.insert(contact.id) {
            self.ask(now, contact, Question::Ping(Ping::Quiet), Patience::Ping, Why::Verify(contact));
        }
    }

    /// Somebody is there, but does not want to talk to us: neither proof of life nor of death.
    pub(super) fn verify_refused(&mut self, now: Moment, contact: Contact) {
        self.liveness.verifying.remove(&contact.id);
        self.forget_hearsay(now, contact);
    }

    /// What was said of others who come after it holds no longer: it may come back when others have come.
    fn forget_hearsay(&mut self, now: Moment, contact: Contact) {
        if self.overlay.contact(contact.id).is_none() {
            self.overlay.lost(now, contact.id);
        }
    }

    /// Pings a contact that failed us elsewhere.
    pub(super) fn verify_known(&mut self, now: Moment, contact: Contact) {
        if self.standing == Standing::Member && self.overlay.contact(contact.id) == Some(contact) {
            self.verify(now, contact);
        }
    }

    /// Pings those of `named` that we lack.
    pub(super) fn verify_hearsay(&mut self, now: Moment, named: &[Contact]) {
        for contact in named {
            if self.overlay.heard_of(*contact) {
                self.verify(now, *contact);
            }
        }
    }

    pub(super) fn proof_of_life(&mut self, now: Moment, contact: Contact, proof: Proof) {
        let was_known = self.overlay.contact(contact.id);
        if let Proof::SomebodyElse { instead_of } = proof {
            let old = instead_of.and_then(|id| self.overlay.contact(id)).filter(|old| old.addr == contact.addr);
            if let Some(old) = old {
                self.dead(now, old);
            }
            return;
        }
        self.liveness.heard(contact.id);
        let from_grave = self.liveness.graves.remove(&contact.id).is_some();
        if from_grave {
            self.liveness.look_which_is_due();
        }
        if matches!(proof, Proof::Leaving) {
            if was_known == Some(contact) {
                self.departed(now, contact);
            }
            return;
        }
        let welcome = was_known == Some(contact) || self.overlay.welcomes(contact);
        if welcome && contact.id != self.me.id {
            self.overlay.heard_from(now, contact);
        }
        if from_grave && self.standing == Standing::Member {
            // Perhaps a whole ring of others lives: look our own surroundings up among them.
            self.refresh_from(now, contact);
        }
    }

    /// It missed an attempt, and is asked again.
    pub(super) fn missed(&mut self, now: Moment, contact: Contact, attempts: u32) {
        let awaited = self.liveness.expected.contains_key(&contact.id);
        if awaited || self.overlay.contact(contact.id) != Some(contact) {
            return;
        }
        let since = now - rpc::PING_EVERY * attempts;
        self.liveness.suspects.entry(contact.id).or_insert_with(|| Suspect::new(contact, since));
        if attempts == 1 && self.told(contact.id) {
            // Neighbours die together: the other successor is asked now, not when this one is given up.
            self.overlay.shown().into_iter().for_each(|shown| self.verify(now, shown));
        }
        if attempts == rpc::ATTEMPTS - 1 {
            self.overlay.suspect(contact.id);
            self.tell_of_silence(contact.id);
            self.probe(contact.id);
        }
    }

    /// Once for each suspicion, however often it is asked meanwhile.
    fn tell_of_silence(&mut self, id: Id) {
        let shown = self.told(id);
        if let Some(suspect) = self.liveness.suspects.get_mut(&id).filter(|suspect| shown && !suspect.told) {
            suspect.told = true;
            self.news(News::Silent(id));
        }
    }

    /// A neighbour says that it is dead: its word and a closed port are enough.
    pub(super) fn told_dead(&mut self, now: Moment, contact: Contact) {
        if self.standing != Standing::Member || self.liveness.awaits(contact.id) {
            return;
        }
        let suspect = self.liveness.suspects.entry(contact.id).or_insert_with(|| Suspect::new(contact, now));
        suspect.told_dead = true;
        self.probe(contact.id);
        self.verify(now, contact);
    }

    /// It missed all attempts.
    pub(super) fn unanswered(&mut self, now: Moment, contact: Contact) {
        self.liveness.verifying.remove(&contact.id);
        if self.overlay.contact(contact.id) != Some(contact) {
            // No contact any more: nothing depends on it.
            let suspects = &mut self.liveness.suspects;
            if suspects.get(&contact.id).is_some_and(|suspect| suspect.contact == contact) {
                suspects.remove(&contact.id);
            }
            return self.forget_hearsay(now, contact);
        }
        if self.liveness.expected.get(&contact.id).is_some_and(|until| now < *until) {
            return;
        }
        let Some(suspect) = self.liveness.suspects.get_mut(&contact.id) else {
            // It was heard since, on another question.
            return self.verify(now, contact);
        };
        suspect.silent = true;
        self.judge(now, contact.id);
    }

    pub(super) fn probed(&mut self, now: Moment, addr: SocketAddr, open: bool) {
        let suspects = self.liveness.suspects.iter_mut().filter(|(_, suspect)| suspect.contact.addr == addr);
        let ids: Vec<Id> = suspects
            .map(|(id, suspect)| {
                suspect.port = if open { Port::Open } else { Port::Closed };
                *id
            })
            .collect();
        ids.into_iter().for_each(|id| self.judge(now, id));
    }

    /// Decides about a suspect, when all is known that can be.
    fn judge(&mut self, now: Moment, id: Id) {
        let Some(suspect) = self.liveness.suspects.get_mut(&id) else { return };
        let contact = suspect.contact;
        match suspect.port {
            Port::Closed if suspect.silent || suspect.told_dead => self.dead(now, contact),
            Port::Open if suspect.silent && now.since(suspect.since) >= SILENCE_LIMIT => self.dead(now, contact),
            Port::Open if suspect.silent => {
                suspect.silent = false;
                suspect.port = Port::Unknown;
                self.verify(now, contact);
            }
            Port::Unknown if suspect.silent && self.strangers.contains(&id) => self.dead(now, contact),
            Port::Unknown if suspect.silent => self.probe(id),
            Port::Unknown | Port::Asked | Port::Open | Port::Closed => {}
        }
    }

    fn probe(&mut self, id: Id) {
        let stranger = self.strangers.contains(&id);
        if let Some(suspect) = self.liveness.suspects.get_mut(&id).filter(|suspect| suspect.port != Port::Asked) {
            if stranger {
                // Other programs hold no such port: their silence says all there is.
                suspect.port = Port::Closed;
                return;
            }
            suspect.port = Port::Asked;
            self.out.push_back(Output::Probe { addr: suspect.contact.addr });
        }
    }

    pub(super) fn dead(&mut self, now: Moment, contact: Contact) {
        // On a neighbour's word it may be dead before it has missed two pings of ours.
        self.tell_of_silence(contact.id);
        self.bury(now, contact);
        self.gone(now, contact);
        if self.told(contact.id) {
            self.news(News::Dead(contact.id));
            // All who have it in their lists are neighbours of ours too.
            for neighbour in self.overlay.contacts() {
                let question = Question::Ping(Ping::Lost(contact.id));
                self.ask(now, neighbour, question, Patience::Ping, Why::Notice(neighbour));
            }
        }
    }

    fn departed(&mut self, now: Moment, contact: Contact) {
        if self.told(contact.id) {
            self.news(News::Departing(contact.id));
        }
        self.gone(now, contact);
    }

    pub(super) fn gone(&mut self, now: Moment, contact: Contact) {
        self.liveness.suspects.remove(&contact.id);
        self.liveness.expected.remove(&contact.id);
        self.overlay.lost(now, contact.id);
        self.distrust(now, contact.id);
        self.rpc.forget(|why| matches!(why, Why::Round(c) | Why::Consult(c) | Why::Verify(c) if *c == contact));
        self.liveness.verifying.remove(&contact.id);
    }

    fn bury(&mut self, now: Moment, contact: Contact) {
        let wait = GRAVE_FIRST;
        let grave = Grave { contact, ask_at: now + self.chance.around(wait), wait };
        self.liveness.graves.insert(contact.id, grave);
        if self.liveness.graves.len() > MAX_GRAVES {
            let seldom = self.liveness.graves.iter().max_by_key(|(_, grave)| grave.wait).map(|(id, _)| *id);
            seldom.map(|id| self.liveness.graves.remove(&id));
        }
        self.liveness.look_which_is_due();
    }

    /// Asks the dead whose time has come.
    pub(super) fn ask_the_dead(&mut self, now: Moment) {
        let due: Vec<Contact> =
            self.liveness.graves.values().filter(|grave| grave.ask_at <= now).map(|grave| grave.contact).collect();
        for contact in due {
            let grave = self.liveness.graves.get_mut(&contact.id).expect("listed just above");
            grave.wait = (grave.wait * 2).min(GRAVE_LONGEST);
            grave.ask_at = now + self.chance.around(grave.wait);
            self.ask(now, contact, Question::Ping(Ping::Quiet), Patience::Ping, Why::Grave);
        }
        self.liveness.look_which_is_due();
    }
}
