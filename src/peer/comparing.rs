//! Which of our files a keeper lacks, asked with few datagrams.
//!
//! A few files are named one by one. Of many, a digest of what both should hold is compared; where it differs the files
//! are split into parts, and these are compared, down to those that differ (after Merkle trees; here the tree is made
//! anew for each pair, because who shares what changes with the network).

use super::shelf::Note;
use super::*;
use crate::ground::Holding;
use crate::ground::krpc::{self, MAX_FILES, Range};

/// Most questions about files at once.
const MAX_OPEN: usize = 16;
/// Into so many parts is split what differs. Guess: few levels, few questions a level.
const PARTS: usize = 8;

/// What is being compared.
#[derive(Default)]
pub(super) struct Comparing {
    waiting: VecDeque<(Contact, Vec<Holding>)>,
    open: usize,
    shared: Shared,
}

/// What each other peer should hold of what we should hold, in the order of keys, of each the highest version first.
#[derive(Default)]
struct Shared {
    changes: u64,
    revision: u64,
    by_peer: BTreeMap<Id, Vec<Holding>>,
}

impl Comparing {
    /// These are to be compared with what this keeper holds. In the order of their keys.
    pub fn plan(&mut self, with: Contact, files: Vec<Holding>) {
        self.waiting.push_back((with, files));
    }

    pub fn is_idle(&self) -> bool {
        self.open == 0 && self.waiting.is_empty()
    }

    /// More must wait.
    pub fn is_busy(&self) -> bool {
        self.open >= MAX_OPEN
    }
}

impl Peer {
    pub(super) fn go_on_comparing(&mut self, now: Moment) {
        while !self.handover.comparing.is_busy()
            && let Some((with, files)) = self.handover.comparing.waiting.pop_front()
        {
            let question = if files.len() <= MAX_FILES {
                Question::Holds(files.clone())
            } else if let Some(range) = self.range_of(with.id, &files) {
                Question::Digest(range)
            } else {
                files.chunks(MAX_FILES).for_each(|part| self.handover.comparing.plan(with, part.to_vec()));
                continue;
            };
            self.handover.comparing.open += 1;
            self.ask(now, with, question, Patience::Search, Why::Offer(with, files));
        }
    }

    pub(super) fn offer_answered(&mut self, now: Moment, from: Contact, files: Vec<Holding>, answer: &krpc::Answer) {
        self.handover.comparing.open -= 1;
        if files.len() <= MAX_FILES {
            return self.holds_answered(now, from, &files, &answer.files);
        }
        if answer.agrees {
            return files.iter().for_each(|file| self.confirmed(now, from.id, file));
        }
        for part in files.chunks(files.len().div_ceil(PARTS).max(MAX_FILES)) {
            self.handover.comparing.plan(from, part.to_vec());
        }
    }

    fn holds_answered(&mut self, now: Moment, from: Contact, files: &[Holding], there: &[Holding]) {
        for file in files {
            let same_name = || there.iter().filter(|other| other.key == file.key);
            let has_it = same_name().any(|other| other.rank() == file.rank());
            let ended = same_name().any(|other| other.content.is_removed() && other.rank() > file.rank());
            if has_it || ended { self.confirmed(now, from.id, file) } else { self.lacks(now, from, file) }
        }
    }

    pub(super) fn offer_unanswered(&mut self, now: Moment, files: &[Holding]) {
        self.handover.comparing.open -= 1;
        self.offer_again(now, files);
    }

    /// The range of these files, if all of them are among what we share with that peer. Of what one of us need not hold a
    /// digest says nothing: both would leave it out, and agree.
    fn range_of(&mut self, other: Id, files: &[Holding]) -> Option<Range> {
        let (first, last) = (files.first()?.key, files.last()?.key);
        let range = self.range_shared_with(other, first, last);
        let shared = self.handover.comparing.shared.by_peer.get(&other)?;
        let shared: BTreeSet<_> = shared.iter().map(|file| (file.key, file.rank())).collect();
        files.iter().all(|file| shared.contains(&(file.key, file.rank()))).then_some(range)
    }

    /// What we hold of the files asked about: the versions themselves, then others of the same names, as many as fit.
    pub(super) fn answer_holds(&self, asked: &[Holding]) -> krpc::Answer {
        // Who looks for a file takes good parts of bad copies too; a keeper that compares is to bring good ones.
        let anyhow: BTreeSet<Id> = asked.iter().filter(|file| file.is_any()).map(|file| file.key).collect();
        let is_told = |(manifest, note): &&(Manifest, Note)| !note.damaged || anyhow.contains(&manifest.name.key());
        let same = |file: &Holding| self.shelf.get(file).filter(is_told).map(|(manifest, _)| manifest.holding());
        let mut files: Vec<Holding> = asked.iter().filter_map(same).collect();
        let (mut bests, mut others) = (Vec::new(), Vec::new());
        let keys: BTreeSet<Id> = asked.iter().map(|file| file.key).collect();
        for key in keys {
            let mut versions = self.shelf.versions(key).filter(is_told).map(|(manifest, _)| manifest.holding());
            bests.extend(versions.next());
            others.extend(versions);
        }
        for more in bests.into_iter().chain(others) {
            if !files.contains(&more) {
                files.push(more);
            }
        }
        files.truncate(MAX_FILES);
        let unheld = asked.iter().filter(|file| self.shelf.best(file.key).is_none());
        let told = unheld.filter_map(|file| self.known.get(file.key)).next();
        krpc::Answer { files, told: told.map(Box::new), ..krpc::Answer::default() }
    }

    /// Whether we hold what both should.
    pub(super) fn answer_digest(&mut self, asker: Id, range: &Range) -> krpc::Answer {
        let agrees = self.range_shared_with(asker, range.first, range.last).digest == range.digest;
        krpc::Answer { agrees, ..krpc::Answer::default() }
    }

    fn range_shared_with(&mut self, other: Id, first: Id, last: Id) -> Range {
        self.refresh_shared();
        let shared = self.handover.comparing.shared.by_peer.get(&other).map_or(&[][..], Vec::as_slice);
        let from = shared.partition_point(|file| file.key < first);
        let to = shared.partition_point(|file| file.key <= last);
        Range { first, last, digest: digest(shared.get(from..to).unwrap_or_default()) }
    }

    /// Works out anew what we share with whom, if anything has changed.
    fn refresh_shared(&mut self) {
        let (changes, revision) = (self.overlay.changes(), self.shelf.revision());
        let shared = &self.handover.comparing.shared;
        if (shared.changes, shared.revision) == (changes, revision) {
            return;
        }
        let mut by_peer: BTreeMap<Id, Vec<Holding>> = BTreeMap::new();
        for key in self.shelf.keys() {
            let Some(best) = self.shelf.best(key) else { continue };
            let place = self.naming.place(&best.name);
            let keepers = self.overlay.keepers(place, self.replicas, &self.strangers).unwrap_or_default();
            if !keepers.contains(&self.me.id) {
                continue;
            }
            for keeper in keepers.into_iter().filter(|keeper| *keeper != self.me.id) {
                let holdings = self.shelf.whole(key).map(Manifest::holding);
                by_peer.entry(keeper).or_default().extend(holdings);
            }
        }
        self.handover.comparing.shared = Shared { changes, revision, by_peer };
    }
}

/// The SHA-1 of key, version and BLAKE3 of each.
fn digest(files: &[Holding]) -> Id {
    let mut bytes = Vec::with_capacity(files.len() * 60);
    for file in files {
        bytes.extend(file.key.as_bytes());
        bytes.extend(file.version.to_be_bytes());
        bytes.extend(file.content.hash);
    }
    Id::hashed(&bytes)
}
