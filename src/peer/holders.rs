//! Who holds which versions of a file: whoever keeps its place is asked, then whoever announced it.

use super::errands::{ErrandJob, Phase};
use super::*;
use crate::ground::Holding;

/// How many keepers are asked for a file before it counts as nowhere: more than hold copies, in case of changes.
pub(super) const KEEPERS_ASKED: usize = 8;

/// Most of those who announced a file that are asked for it.
const MAX_ANNOUNCED: usize = 16;

/// What was said about a file.
#[derive(Default)]
pub(super) struct Holders {
    /// Who shall keep it, the owner first.
    keepers: Vec<Contact>,
    /// How many of them have been asked what they hold, or need not be.
    surveyed: usize,
    said: Vec<Said>,
    /// Who was asked and said nothing.
    silent: BTreeSet<Id>,
    /// Who announced the file, and was not asked yet.
    announced: BTreeSet<SocketAddr>,
    /// Others know of this version.
    told: Option<Holding>,
}

/// What one peer said.
struct Said {
    contact: Contact,
    holdings: Vec<Holding>,
    /// It lies in the working folder, though nobody stored it.
    lying: bool,
}

impl Holders {
    /// Who shall keep it.
    pub fn found(&mut self, keepers: Vec<Contact>) {
        self.keepers = keepers;
    }

    /// Who shall keep it before all others.
    pub fn owner(&self) -> Option<Contact> {
        self.keepers.first().copied()
    }

    /// A peer said what it has. What it says later counts if it is more.
    pub fn heard(&mut self, contact: Contact, holdings: &[Holding], lying: bool) {
        self.silent.remove(&contact.id);
        match self.said.iter_mut().find(|said| said.contact.id == contact.id) {
            Some(said) => {
                said.lying |= lying;
                said.holdings
                    .extend(holdings.iter().filter(|new| !said.holdings.contains(new)).copied().collect::<Vec<_>>());
            }
            None => self.said.push(Said { contact, holdings: holdings.to_vec(), lying }),
        }
    }

    /// A peer knows of this version.
    pub fn heard_told(&mut self, told: Option<Holding>) {
        if let Some(told) = told
            && self.told.is_none_or(|before| before.rank() < told.rank())
        {
            self.told = Some(told);
        }
    }

    /// A peer was asked, and did not answer.
    pub fn unheard(&mut self, id: Id) {
        if !self.said.iter().any(|said| said.contact.id == id) {
            self.silent.insert(id);
        }
    }

    /// A peer that said it holds it could not be reached.
    pub fn lost(&mut self, id: Id) {
        self.said.retain(|said| said.contact.id != id);
        self.silent.insert(id);
    }

    /// These have announced the file.
    pub fn heard_of(&mut self, holders: &[SocketAddr]) {
        let room = MAX_ANNOUNCED.saturating_sub(self.announced.len());
        self.announced.extend(holders.iter().take(room));
    }

    /// Forgets what everybody said.
    pub fn forget_answers(&mut self) {
        self.said.clear();
        self.surveyed = 0;
    }

    /// Who of the first `count` keepers has not said yet what it holds; none: they all were asked.
    pub fn survey(&mut self, count: usize) -> Option<Vec<Contact>> {
        if self.surveyed >= count {
            return None;
        }
        self.surveyed = count;
        let unasked = |keeper: &&Contact| !self.said.iter().any(|said| said.contact.id == keeper.id);
        let unasked: Vec<Contact> = self.keepers.iter().take(count).filter(unasked).copied().collect();
        (!unasked.is_empty()).then_some(unasked)
    }

    /// Who announced it.
    pub fn take_announced(&mut self) -> BTreeSet<SocketAddr> {
        std::mem::take(&mut self.announced)
    }

    /// The highest version heard of, of those that are `meant`.
    pub fn best(&self, meant: impl Fn(&Holding) -> bool) -> Option<Holding> {
        let all = self.said.iter().flat_map(|said| &said.holdings);
        all.filter(|holding| meant(holding)).max_by_key(|holding| holding.rank()).copied()
    }

    /// Who holds this version: the owner first, then in the order of keepers.
    pub fn of(&self, wanted: &Holding, meant: impl Fn(Id) -> bool) -> Vec<Contact> {
        self.contacts(|said| meant(said.contact.id) && said.holdings.iter().any(|held| held.rank() == wanted.rank()))
    }

    /// In whose folder it lies.
    pub fn lying(&self, meant: impl Fn(Id) -> bool) -> Vec<Contact> {
        self.contacts(|said| meant(said.contact.id) && said.lying)
    }

    /// Who holds anything.
    pub fn all(&self) -> Vec<Contact> {
        self.contacts(|said| !said.holdings.is_empty())
    }

    fn contacts(&self, meant: impl Fn(&Said) -> bool) -> Vec<Contact> {
        let mut contacts: Vec<Contact> = self.said.iter().filter(|said| meant(said)).map(|said| said.contact).collect();
        let place = |contact: &Contact| self.keepers.iter().position(|keeper| keeper.id == contact.id);
        contacts.sort_by_key(|contact| place(contact).unwrap_or(usize::MAX));
        contacts
    }

    /// How many answered.
    pub fn asked(&self) -> usize {
        self.said.len()
    }

    /// Why nobody holds it.
    pub fn absence(&self) -> Absence {
        let best = self.best(|_| true);
        match (best, self.told) {
            (Some(best), _) if best.content.is_removed() => Absence::Removed,
            (None, Some(told)) if told.content.is_removed() => Absence::Removed,
            // We ourselves always answer.
            (None, None) if self.said.len() > 1 || self.silent.is_empty() => Absence::NeverStored,
            _ if !self.silent.is_empty() => Absence::OutOfReach { silent: self.silent.len() },
            _ => Absence::HoldersGone,
        }
    }
}

impl Peer {
    /// Asks keepers what they hold of a file.
    pub(super) fn ask_holders(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, asked: Vec<Contact>) {
        job.phase = Phase::Asking(asked.iter().map(|keeper| keeper.addr).collect());
        let wanted = Holding::any(job.name.key());
        self.errands.insert(id, job);
        for keeper in asked {
            let question = Question::Holds(vec![wanted]);
            self.ask(now, keeper, question, Patience::Search, Why::Errand(id, keeper));
        }
    }

    /// No keeper has it: perhaps somebody does who announced it, and is a keeper no more.
    pub(super) fn ask_announced(
        &mut self,
        now: Moment,
        id: ErrandId,
        mut job: ErrandJob,
        announced: BTreeSet<SocketAddr>,
    ) {
        job.phase = Phase::Asking(announced.clone());
        let wanted = Holding::any(job.name.key());
        self.errands.insert(id, job);
        for addr in announced {
            let question = Question::Holds(vec![wanted]);
            self.ask_anyone(now, addr, None, question, Patience::Search, Why::Holder(id, addr));
        }
    }
}
