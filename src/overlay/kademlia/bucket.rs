//! One k-bucket: contacts in the order they were last heard, and newcomers that wait until one of them is lost.

use crate::ground::{Contact, Id, Moment};
use std::time::Duration;

/// Who has not answered for so long is questionable: not handed out (BEP 5).
pub const GOOD_FOR: Duration = Duration::from_secs(15 * 60);

/// A contact, and what is known of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub contact: Contact,
    /// When it answered last.
    pub heard: Moment,
    /// When our upkeep pinged it last.
    pub asked: Moment,
    /// It has missed answers.
    pub suspect: bool,
}

impl Entry {
    /// One that answers now.
    pub fn heard(now: Moment, contact: Contact) -> Entry {
        Entry { contact, heard: now, asked: Moment::START, suspect: false }
    }

    /// To be handed out.
    pub fn is_good(&self, now: Moment) -> bool {
        !self.suspect && now.since(self.heard) <= GOOD_FOR
    }

    /// How long it has neither answered nor been pinged by upkeep.
    pub fn left_alone(&self, now: Moment) -> Duration {
        now.since(self.heard.max(self.asked))
    }
}

/// Contacts at one range of distances.
#[derive(Debug)]
pub struct Bucket {
    /// Least recently heard first.
    entries: Vec<Entry>,
    /// Heard while there was no room, most recent last.
    waiting: Vec<Entry>,
    /// When an id of this range is to be looked up, if nothing changes before.
    pub refresh_at: Moment,
}

impl Bucket {
    pub fn new(refresh_at: Moment) -> Bucket {
        Bucket { entries: Vec::new(), waiting: Vec::new(), refresh_at }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn waiting(&self) -> &[Entry] {
        &self.waiting
    }

    pub fn get(&self, id: Id) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.contact.id == id)
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.contact.id == id)
    }

    /// A contact of ours answers: it goes to the recent end. None if the id is not known; false if it is known at
    /// another address, which stays.
    pub fn heard_again(&mut self, now: Moment, contact: Contact) -> Option<bool> {
        let at = self.entries.iter().position(|entry| entry.contact.id == contact.id)?;
        if self.entries[at].contact.addr != contact.addr {
            return Some(false);
        }
        self.entries[at..].rotate_left(1);
        let entry = self.entries.last_mut().expect("it was found just above");
        (entry.heard, entry.suspect) = (now, false);
        Some(true)
    }

    /// Takes one in, where it belongs by the time it was heard: mostly at the recent end.
    pub fn enter(&mut self, entry: Entry) {
        let at = self.entries.iter().rposition(|other| other.heard <= entry.heard).map_or(0, |before| before + 1);
        self.entries.insert(at, entry);
    }

    pub fn remove(&mut self, id: Id) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.contact.id == id)?;
        Some(self.entries.remove(at))
    }

    pub fn remove_oldest(&mut self) -> Option<Entry> {
        if self.entries.is_empty() { None } else { Some(self.entries.remove(0)) }
    }

    /// There is no room for it now. At most `most` wait: the one heard longest ago gives up its turn.
    pub fn wait(&mut self, entry: Entry, most: usize) {
        self.stop_waiting(entry.contact.id);
        self.waiting.push(entry);
        if self.waiting.len() > most {
            self.waiting.remove(0);
        }
    }

    pub fn stop_waiting(&mut self, id: Id) {
        self.waiting.retain(|entry| entry.contact.id != id);
    }

    /// The most recently heard of those who wait.
    pub fn next_waiting(&mut self) -> Option<Entry> {
        self.waiting.pop()
    }

    /// Moves out whoever belongs into another bucket.
    pub fn move_out(&mut self, other: impl Fn(Id) -> bool) -> Bucket {
        let (out, stay) = self.entries.iter().partition(|entry| other(entry.contact.id));
        self.entries = stay;
        Bucket { entries: out, waiting: Vec::new(), refresh_at: self.refresh_at }
    }
}
