//! Who takes what just now, and what arrives here just now: what is here already can be given on at once.

use crate::ground::Content;
use crate::store::Partial;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// Most takers of one content that others hear of. Guess: no peer takes from more than twelve at a time.
pub const MOST_TOLD: usize = 12;

/// All content that is given or arrives.
#[derive(Default)]
pub struct Crowd {
    groups: Mutex<BTreeMap<Content, Group>>,
}

#[derive(Default)]
struct Group {
    arriving: Vec<Arc<Partial>>,
    /// With how many connections each is here.
    takers: BTreeMap<SocketAddr, usize>,
}

impl Crowd {
    /// The partial of a content that has most of it.
    pub fn arriving(&self, content: &Content) -> Option<Arc<Partial>> {
        let groups = self.groups();
        groups.get(content)?.arriving.iter().max_by_key(|partial| partial.have().count()).cloned()
    }

    /// Lets others have what is here of this, until what is returned is dropped.
    pub fn share(&self, partial: Arc<Partial>) -> Share<'_> {
        self.groups().entry(partial.pieces().content()).or_default().arriving.push(partial.clone());
        Share { crowd: self, partial }
    }

    /// Somebody takes this content, until what is returned is dropped.
    pub fn enter(&self, content: Content, taker: SocketAddr) -> Seat<'_> {
        *self.groups().entry(content).or_default().takers.entry(taker).or_default() += 1;
        Seat { crowd: self, content, taker }
    }

    fn leave(&self, content: &Content, change: impl FnOnce(&mut Group)) {
        let mut groups = self.groups();
        let Some(group) = groups.get_mut(content) else { return };
        change(group);
        if group.arriving.is_empty() && group.takers.is_empty() {
            groups.remove(content);
        }
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<Content, Group>> {
        self.groups.lock().expect("nothing panics while it is held")
    }
}

/// See [`Crowd::share`].
pub struct Share<'c> {
    crowd: &'c Crowd,
    partial: Arc<Partial>,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let ours = |partial: &Arc<Partial>| Arc::ptr_eq(partial, &self.partial);
        self.crowd.leave(&self.partial.pieces().content(), |group| group.arriving.retain(|partial| !ours(partial)));
    }
}

/// See [`Crowd::enter`].
pub struct Seat<'c> {
    crowd: &'c Crowd,
    content: Content,
    taker: SocketAddr,
}

impl Seat<'_> {
    /// Where the others listen who take the same.
    pub fn others(&self) -> Vec<SocketAddr> {
        let groups = self.crowd.groups();
        let takers = groups.get(&self.content).into_iter().flat_map(|group| group.takers.keys());
        takers.filter(|taker| **taker != self.taker).take(MOST_TOLD).copied().collect()
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.crowd.leave(&self.content, |group| {
            if let Some(count) = group.takers.get_mut(&self.taker) {
                *count -= 1;
                if *count == 0 {
                    group.takers.remove(&self.taker);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takers_hear_of_each_other_while_they_are_here() {
        let crowd = Crowd::default();
        let content = Content { hash: [7; 32], len_bytes: 7 };
        let [one, two] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let (first, second, again) = (crowd.enter(content, one), crowd.enter(content, two), crowd.enter(content, two));
        assert_eq!((first.others(), second.others()), (vec![two], vec![one]));
        drop(again);
        assert_eq!(first.others(), [two]);
        drop(second);
        assert_eq!(first.others(), []);
        drop(first);
        assert!(crowd.groups().is_empty());
    }
}
