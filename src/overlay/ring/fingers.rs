//! The fingers of a ring: slots of distances, who fills one, and who is forgotten.

use super::circle::Circle;
use crate::ground::Id;

impl Circle {
    /// Distances fall into slots, numbered from the shortest: each power of two is cut into as many equal parts as it has
    /// fingers, which are a power of two themselves.
    pub(super) fn slot(&self, distance: Id) -> usize {
        let power = power(distance);
        let bit =
            |part: usize, below: usize| 2 * part + usize::from(power >= below && has_power(distance, power - below));
        power * self.tuning.fingers + (1..=self.part_bits()).fold(0, bit)
    }

    /// The shortest distance in a slot: where its finger points.
    pub(super) fn finger_target(&self, slot: usize) -> Id {
        let (power, part) = (slot / self.tuning.fingers, slot % self.tuning.fingers);
        let bits = self.part_bits();
        let part = (1..=bits).filter(|below| part >> (bits - below) & 1 == 1 && power >= *below);
        part.fold(Id::power_of_two(power), |sum, below| sum.plus(Id::power_of_two(power - below)))
    }

    fn part_bits(&self) -> usize {
        self.tuning.fingers.max(1).ilog2() as usize
    }

    /// Nobody is known where a finger should point at this distance.
    pub(super) fn lacks_finger(&self, distance: Id) -> bool {
        if self.tuning.fingers == 0 {
            return false;
        }
        let slot = self.slot(distance);
        let nearest = self.entries.range(self.finger_target(slot)..).next();
        nearest.is_none_or(|(known, _)| self.slot(*known) != slot)
    }

    /// Forgets whoever is neither successor, predecessor nor finger: the first of its slot.
    pub(super) fn prune(&mut self) {
        let (len, list_len) = (self.entries.len(), self.tuning.list_len);
        if len <= 2 * list_len {
            return;
        }
        let middle = self.entries.keys().copied().enumerate().skip(list_len - 1).take(len + 1 - 2 * list_len);
        let mut kept = None;
        let mut surplus = Vec::new();
        for (at, distance) in middle {
            let same_slot = kept.is_some_and(|kept| self.slot(kept) == self.slot(distance));
            if at >= list_len && (same_slot || self.tuning.fingers == 0) {
                surplus.push(distance);
            } else {
                kept = Some(distance);
            }
        }
        for distance in surplus {
            self.entries.remove(&distance);
        }
    }
}

/// The exponent of the highest power of two in a distance that is not zero.
pub(in crate::overlay) fn power(distance: Id) -> usize {
    let bytes = distance.as_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(Id::LEN - 1);
    (Id::LEN - 1 - first) * 8 + (bytes[first].max(1).ilog2() as usize)
}

/// The power of two with this exponent is part of the distance.
fn has_power(distance: Id, exponent: usize) -> bool {
    distance.bit(Id::BITS - 1 - exponent)
}
