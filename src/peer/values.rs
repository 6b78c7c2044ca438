//! The values a peer keeps for the network: BEP 44 items, each for a while.

use crate::ground::krpc::{Offer, Refusal};
use crate::ground::{Chance, Id, Item, Moment};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Life of an item that says nothing of its life (BEP 44).
pub(super) const STRANGERS_LIFE: Duration = Duration::from_secs(2 * 3600);
/// Life of a value of ours, from its publication.
pub(super) const LIFE: Duration = Duration::from_secs(24 * 3600);
/// A value of ours is published again so often, by whoever keeps it and was not spared.
pub(super) const REPUBLISH_EVERY: Duration = Duration::from_secs(3600);
/// A publication that has to wait for others is due again after this.
const PUT_OFF_BY: Duration = Duration::from_secs(30);
/// Most bytes of values, with this much counted for each beside its own.
const MAX_BYTES: usize = 16 << 20;
const OVERHEAD: usize = 200;

/// All values.
#[derive(Default)]
pub(super) struct Values {
    kept: BTreeMap<Id, Kept>,
    agenda: BTreeSet<(Moment, Id)>,
    bytes: usize,
}

/// One value.
#[derive(Clone)]
pub(super) struct Kept {
    pub item: Item,
    pub expires: Moment,
    /// Of ours: when it is our turn to publish it again. Strangers' items are for their publishers to repeat.
    pub republish_at: Moment,
}

impl Kept {
    /// What is left of its life, if it is a value of ours.
    pub fn left(&self, now: Moment) -> Option<Duration> {
        (self.republish_at != Moment::NEVER).then(|| self.expires.since(now))
    }
}

impl Values {
    /// No more can be kept: tokens are withheld.
    pub fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// What is kept under a target.
    pub fn get(&self, now: Moment, target: Id) -> Option<&Kept> {
        self.kept.get(&target).filter(|kept| kept.expires > now)
    }

    /// All that is kept.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Kept)> {
        self.kept.iter().map(|(target, kept)| (*target, kept))
    }

    /// Takes an item, or says why not. Whoever gives us one spares us our next publication of it.
    pub fn put(&mut self, now: Moment, offer: &Offer, chance: &mut Chance) -> Result<Id, Refusal> {
        let target = offer.item.target();
        let held = self.get(now, target).filter(|held| held.item == offer.item);
        if held.is_none() {
            offer.item.verify().map_err(|bad| Refusal::new(bad.code(), &bad.to_string()))?;
        }
        let there = self.get(now, target);
        if let Some(there) = there {
            supersedes(&there.item, offer)?;
        }
        let longer = there.is_none_or(|there| there.item.value().len() < offer.item.value().len());
        if longer && self.is_full() {
            return Err(Refusal::new(202, "full"));
        }
        let old = self.kept.get(&target).filter(|held| held.item.seq() == offer.item.seq());
        let republish_at = now + chance.around(REPUBLISH_EVERY);
        let (expires, republish_at) = match offer.left {
            // A life is never made longer by being passed on.
            Some(left) => {
                let end = now + left.min(LIFE);
                let known = old.filter(|old| old.republish_at != Moment::NEVER).map(|old| old.expires);
                (known.map_or(end, |known| known.max(end).min(now + LIFE)), republish_at)
            }
            None => match old {
                Some(old) => (old.expires.max(now + STRANGERS_LIFE), old.republish_at),
                None => (now + STRANGERS_LIFE, Moment::NEVER),
            },
        };
        self.insert(target, Kept { item: offer.item.clone(), expires, republish_at });
        Ok(target)
    }

    /// A later version than this is known of elsewhere: what is kept of an earlier one is dropped. True if it was.
    pub fn outdate(&mut self, target: Id, seq: Option<i64>) -> bool {
        let outdated = self.kept.get(&target).is_some_and(|kept| kept.item.seq() < seq);
        if outdated {
            self.remove(target);
        }
        outdated
    }

    /// A value from an earlier run.
    pub fn restore(&mut self, target: Id, kept: Kept) {
        self.insert(target, kept);
    }

    /// It was published again: the next time is an hour from now.
    pub fn published(&mut self, now: Moment, target: Id, chance: &mut Chance) {
        self.publish_after(now, target, chance.around(REPUBLISH_EVERY));
    }

    /// It is to be published in a moment: too many others are just now.
    pub fn put_off(&mut self, now: Moment, target: Id, chance: &mut Chance) {
        self.publish_after(now, target, chance.around(PUT_OFF_BY));
    }

    fn publish_after(&mut self, now: Moment, target: Id, wait: Duration) {
        if let Some(mut kept) = self.kept.get(&target).cloned().filter(|kept| kept.republish_at != Moment::NEVER) {
            kept.republish_at = now + wait;
            self.insert(target, kept);
        }
    }

    /// When something is to be published again, or has come to its end.
    pub fn due(&self) -> Moment {
        self.agenda.first().map_or(Moment::NEVER, |(at, _)| *at)
    }

    /// The next value that is due: one to publish again, or the name of one that has just been dropped.
    pub fn next_due(&mut self, now: Moment) -> Option<Result<Kept, Id>> {
        let (at, target) = self.agenda.first().copied().filter(|(at, _)| *at <= now)?;
        let kept = self.kept[&target].clone();
        if kept.expires <= now {
            self.remove(target);
            return Some(Err(target));
        }
        self.agenda.remove(&(at, target));
        self.agenda.insert((kept.expires, target));
        Some(Ok(kept))
    }

    fn insert(&mut self, target: Id, kept: Kept) {
        self.remove(target);
        self.bytes += size(&kept);
        self.agenda.insert((kept.expires.min(kept.republish_at), target));
        self.kept.insert(target, kept);
    }

    fn remove(&mut self, target: Id) {
        if let Some(old) = self.kept.remove(&target) {
            self.bytes -= size(&old);
            self.agenda.remove(&(old.expires.min(old.republish_at), target));
            self.agenda.remove(&(old.expires, target));
        }
    }
}

fn size(kept: &Kept) -> usize {
    kept.item.value().len() + OVERHEAD
}

/// BEP 44's rules for an item that is there already.
fn supersedes(held: &Item, offer: &Offer) -> Result<(), Refusal> {
    let (Some(there), Some(new)) = (held.seq(), offer.item.seq()) else { return Ok(()) };
    if offer.cas.is_some_and(|cas| cas != there) {
        return Err(Refusal::new(301, "the version there is another one"));
    }
    if new < there || (new == there && held.value() != offer.item.value()) {
        return Err(Refusal::new(302, "a later version is there"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Secret;
    use crate::ground::item::text_value;

    fn offer(item: Item, left: Option<Duration>) -> Offer {
        Offer { item, token: Vec::new(), cas: None, left }
    }

    fn signed(seq: i64, text: &str) -> Item {
        Item::Mutable(Secret::named("key").sign(b"", seq, &text_value(text.as_bytes())))
    }

    fn put(values: &mut Values, now: Moment, offer: &Offer) -> Result<Id, i64> {
        values.put(now, offer, &mut Chance::seeded(1)).map_err(|refusal| refusal.code)
    }

    #[test]
    fn later_versions_replace_earlier_ones_and_not_the_other_way() {
        let mut values = Values::default();
        let at = Moment::START;
        let target = put(&mut values, at, &offer(signed(2, "two"), None)).unwrap();
        assert_eq!(put(&mut values, at, &offer(signed(1, "one"), None)), Err(302));
        assert_eq!(put(&mut values, at, &offer(signed(2, "other"), None)), Err(302));
        assert_eq!(put(&mut values, at, &offer(signed(2, "two"), None)), Ok(target));
        let cas = |cas, seq| Offer { cas: Some(cas), ..offer(signed(seq, "next"), None) };
        assert_eq!(put(&mut values, at, &cas(1, 3)), Err(301));
        assert_eq!(put(&mut values, at, &cas(2, 3)), Ok(target));
        assert_eq!(values.get(at, target).unwrap().item.seq(), Some(3));
    }

    #[test]
    fn forged_items_are_refused() {
        let mut values = Values::default();
        let Item::Mutable(mut forged) = signed(2, "two") else { unreachable!() };
        forged.seq = 3;
        assert_eq!(put(&mut values, Moment::START, &offer(Item::Mutable(forged), None)), Err(206));
        let large = Item::Immutable(text_value(&[0; 1000]));
        assert_eq!(put(&mut values, Moment::START, &offer(large, None)), Err(205));
    }

    #[test]
    fn strangers_items_live_two_hours_ours_as_long_as_was_promised() {
        let mut values = Values::default();
        let strange = put(&mut values, Moment::START, &offer(Item::Immutable(text_value(b"a")), None)).unwrap();
        let left = Duration::from_secs(5 * 3600);
        let ours = put(&mut values, Moment::START, &offer(Item::Immutable(text_value(b"b")), Some(left))).unwrap();
        let lives = |hours: u64, target| values.get(Moment::after(Duration::from_secs(hours * 3600)), target).is_some();
        assert!(lives(1, strange) && !lives(2, strange));
        assert!(lives(4, ours) && !lives(5, ours));
    }

    #[test]
    fn a_life_is_not_made_longer_by_passing_it_on() {
        let mut values = Values::default();
        let item = Item::Immutable(text_value(b"b"));
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let target = put(&mut values, Moment::START, &offer(item.clone(), Some(hours(9)))).unwrap();
        put(&mut values, Moment::after(hours(3)), &offer(item, Some(hours(6)))).unwrap();
        assert_eq!(values.get(Moment::START, target).unwrap().expires, Moment::after(hours(9)));
    }

    #[test]
    fn whoever_publishes_first_spares_the_others() {
        let mut values = Values::default();
        let item = Item::Immutable(text_value(b"b"));
        put(&mut values, Moment::START, &offer(item.clone(), Some(LIFE))).unwrap();
        let first = values.due();
        assert!((2700..=4500).contains(&first.elapsed().as_secs()));
        let earlier = first - Duration::from_secs(60);
        put(&mut values, earlier, &offer(item, Some(LIFE - earlier.elapsed()))).unwrap();
        assert!(values.due() > first);
        assert!(values.next_due(first).is_none());
        let again = values.due();
        assert!(matches!(values.next_due(again), Some(Ok(_))));
        assert_eq!(values.due(), Moment::START + LIFE, "then it ends");
        assert!(matches!(values.next_due(Moment::START + LIFE), Some(Err(_))));
        assert_eq!((values.due(), values.bytes), (Moment::NEVER, 0));
    }

    #[test]
    fn storage_is_bounded() {
        let mut values = Values::default();
        let item = |at: u32| Item::Immutable(text_value(&[&at.to_be_bytes()[..], &[0; 900]].concat()));
        let kept = (0..20_000).filter(|at| put(&mut values, Moment::START, &offer(item(*at), None)).is_ok()).count();
        assert!(values.is_full() && (10_000..20_000).contains(&kept), "{kept}");
        assert_eq!(put(&mut values, Moment::START, &offer(item(0), None)), Ok(item(0).target()), "it is there already");
    }

    #[test]
    fn values_that_are_there_do_not_grow_beyond_the_bound() {
        let mut values = Values::default();
        let target = put(&mut values, Moment::START, &offer(signed(1, "short"), None)).unwrap();
        values.bytes = MAX_BYTES;
        assert_eq!(put(&mut values, Moment::START, &offer(signed(2, "longer"), None)), Err(202));
        assert_eq!(put(&mut values, Moment::START, &offer(signed(2, "new"), None)), Ok(target));
    }
}
