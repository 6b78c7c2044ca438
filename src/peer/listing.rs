//! Which files there are: everybody is asked, from one neighbour to the next.

use super::*;
use crate::ground::krpc;

/// Most peers asked. Guess: who has more wants a catalogue, and not a list.
const MAX_PEERS: usize = 4096;
/// Most of them at once.
const AT_ONCE: usize = 16;
/// Most files listed: peers that make up names do not fill our memory. Guess: 0.5 GB of it.
const MAX_FILES: usize = 1_000_000;
/// Most lists under way.
const MAX_LISTINGS: usize = 4;

/// A list under way.
pub(super) struct Listing {
    ticket: Ticket,
    /// Everybody heard of.
    heard: BTreeSet<Id>,
    waiting: VecDeque<Contact>,
    /// Questions and moves that have not ended.
    open: usize,
    answered: usize,
    silent: usize,
    files: BTreeMap<FileName, (Manifest, Vec<Id>)>,
}

impl Listing {
    fn hear_of(&mut self, contact: Contact) {
        if self.heard.len() < MAX_PEERS && self.heard.insert(contact.id) {
            self.waiting.push_back(contact);
        }
    }

    fn add(&mut self, holder: Id, manifest: Manifest) {
        if self.files.len() >= MAX_FILES && !self.files.contains_key(&manifest.name) {
            return;
        }
        let (best, holders) = self.files.entry(manifest.name.clone()).or_insert_with(|| (manifest.clone(), Vec::new()));
        if best.rank() < manifest.rank() {
            (*best, *holders) = (manifest, vec![holder]);
        } else if best.rank() == manifest.rank() && holders.last() != Some(&holder) {
            // What one peer says comes at once.
            holders.push(holder);
        }
    }
}

impl Peer {
    pub(super) fn start_listing(&mut self, now: Moment, ticket: Ticket) {
        if let Some(reason) = self.unready() {
            return self.answer(ticket, Answer::Unable(reason.to_owned()));
        }
        if self.listings.len() >= MAX_LISTINGS {
            let reason = format!("{MAX_LISTINGS} lists are being made: wait for one to end");
            return self.answer(ticket, Answer::Unable(reason));
        }
        let mut listing = Listing {
            ticket,
            heard: BTreeSet::from([self.me.id]),
            waiting: self.overlay.contacts().into(),
            open: 0,
            answered: 1,
            silent: 0,
            files: BTreeMap::new(),
        };
        listing.heard.extend(listing.waiting.iter().map(|contact| contact.id).collect::<Vec<_>>());
        for key in self.shelf.keys() {
            if let Some(manifest) = self.shelf.best(key) {
                listing.add(self.me.id, manifest.clone());
            }
        }
        self.last_errand += 1;
        self.go_on_listing(now, self.last_errand, listing);
    }

    fn go_on_listing(&mut self, now: Moment, id: ErrandId, mut listing: Listing) {
        while listing.open < AT_ONCE
            && let Some(contact) = listing.waiting.pop_front()
        {
            listing.open += 1;
            let question = Question::FindNode { target: contact.id, errand: None };
            self.ask(now, contact, question, Patience::Search, Why::Crawl(id, contact));
        }
        if listing.open > 0 {
            return drop(self.listings.insert(id, listing));
        }
        let files = listing.files.into_values().filter(|(manifest, _)| !manifest.content.is_removed());
        let answer = Answer::Listed { files: files.collect(), asked: listing.answered, silent: listing.silent };
        self.answer(listing.ticket, answer);
    }

    /// Somebody named its neighbours: now for its files.
    pub(super) fn crawl_answered(&mut self, now: Moment, id: ErrandId, contact: Contact, answer: &krpc::Answer) {
        let Some(mut listing) = self.listings.remove(&id) else { return };
        answer.nodes.iter().for_each(|node| listing.hear_of(*node));
        if self.strangers.contains(&contact.id) {
            listing.open -= 1;
        } else {
            self.move_bytes(MovePurpose::List(id, contact), Move::List { at: contact });
        }
        self.go_on_listing(now, id, listing);
    }

    pub(super) fn crawl_unanswered(&mut self, now: Moment, id: ErrandId) {
        let Some(mut listing) = self.listings.remove(&id) else { return };
        listing.open -= 1;
        listing.silent += 1;
        self.go_on_listing(now, id, listing);
    }

    pub(super) fn listed(&mut self, now: Moment, id: ErrandId, at: Contact, outcome: Result<Vec<Manifest>, MoveError>) {
        let Some(mut listing) = self.listings.remove(&id) else { return };
        listing.open -= 1;
        match outcome {
            Ok(files) => {
                listing.answered += 1;
                files.into_iter().for_each(|manifest| listing.add(at.id, manifest));
            }
            Err(_) => listing.silent += 1,
        }
        self.go_on_listing(now, id, listing);
    }

    pub(super) fn fail_listings(&mut self, reason: &str) {
        for listing in std::mem::take(&mut self.listings).into_values() {
            self.answer(listing.ticket, Answer::Unable(reason.to_owned()));
        }
    }
}
