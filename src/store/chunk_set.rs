//! Which chunks of a content are meant: a bit for each.

use super::pieces::chunk_count;
use crate::ground::Content;
use std::ops::Range;

/// Some of the chunks of a content. Its bytes have chunk 0 at the highest bit of the first, and zeros behind the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkSet {
    bits: Vec<u8>,
    /// Of so many chunks.
    of: u64,
    count: u64,
}

impl ChunkSet {
    /// None of so many.
    pub fn none(of: u64) -> ChunkSet {
        ChunkSet { bits: vec![0; of.div_ceil(8) as usize], of, count: 0 }
    }

    /// All of so many.
    pub fn all(of: u64) -> ChunkSet {
        let mut set = ChunkSet::none(of);
        set.insert_run(0..of);
        set
    }

    /// None of a content's.
    pub fn none_of(content: &Content) -> ChunkSet {
        ChunkSet::none(chunk_count(content.len_bytes))
    }

    /// Reads bits, if there are exactly as many as it takes.
    pub fn from_bytes(of: u64, bytes: &[u8]) -> Option<ChunkSet> {
        let spare = (8 - of % 8) % 8;
        let fits = bytes.len() as u64 == of.div_ceil(8)
            && bytes.last().is_none_or(|last| last.trailing_zeros() as u64 >= spare);
        let count = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
        fits.then(|| ChunkSet { bits: bytes.to_vec(), of, count })
    }

    /// The bits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// Of how many chunks it is.
    pub fn of(&self) -> u64 {
        self.of
    }

    /// How many chunks are in it.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// There is none in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// There is none that is not in it.
    pub fn is_full(&self) -> bool {
        self.count == self.of
    }

    /// Whether a chunk is in it. One that does not exist is not.
    pub fn contains(&self, index: u64) -> bool {
        index < self.of && self.bits[(index / 8) as usize] & mask(index) != 0
    }

    /// Adds a chunk that exists. False: it was in it.
    pub fn insert(&mut self, index: u64) -> bool {
        let is_new = !self.contains(index);
        self.bits[(index / 8) as usize] |= mask(index);
        self.count += u64::from(is_new);
        is_new
    }

    /// Takes out a chunk that exists. False: it was not in it.
    pub fn remove(&mut self, index: u64) -> bool {
        let was_in = self.contains(index);
        self.bits[(index / 8) as usize] &= !mask(index);
        self.count -= u64::from(was_in);
        was_in
    }

    /// Adds neighbouring chunks.
    pub fn insert_run(&mut self, run: Range<u64>) {
        run.for_each(|index| _ = self.insert(index));
    }

    /// Those that are in it, in their order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        (0..self.of).filter(|index| self.contains(*index))
    }

    /// Those that are not in it.
    pub fn complement(&self) -> ChunkSet {
        let mut rest = ChunkSet::none(self.of);
        (0..self.of).filter(|index| !self.contains(*index)).for_each(|index| _ = rest.insert(index));
        rest
    }
}

fn mask(index: u64) -> u8 {
    0x80 >> (index % 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_what_was_put_in() {
        let mut set = ChunkSet::none(13);
        assert!(set.insert(12) && set.insert(0) && !set.insert(12));
        assert_eq!((set.count(), set.iter().collect::<Vec<_>>()), (2, vec![0, 12]));
        assert_eq!(set.as_bytes(), [0x80, 0x08]);
        assert!(set.remove(0) && !set.remove(0) && !set.contains(13));
        assert_eq!(set.complement().count(), 12);
        assert!(ChunkSet::all(13).is_full() && ChunkSet::none(13).is_empty());
    }

    #[test]
    fn bits_are_read_only_where_they_fit() {
        assert_eq!(ChunkSet::from_bytes(13, &[0xff, 0xf8]), Some(ChunkSet::all(13)));
        assert_eq!(ChunkSet::from_bytes(16, &[0xff, 0xff]), Some(ChunkSet::all(16)));
        for bytes in [&[0xff][..], &[0xff, 0xfc], &[0xff, 0xf8, 0]] {
            assert_eq!(ChunkSet::from_bytes(13, bytes), None);
        }
    }
}
