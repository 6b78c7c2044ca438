//! Content cut into chunks that can be checked one by one.
//!
//! ```text
//!                  content: the BLAKE3 of everything
//!                 ╱                                 ╲
//!             parent                               parent          merged on the way, never kept
//!            ╱      ╲                             ╱      ╲
//!        chunk 0   chunk 1                    chunk 2   chunk 3    the list: 32 bytes for each
//! ```
//!
//! BLAKE3 is a tree itself. A chunk, as we call it, is a subtree of it: 64 KiB, or as many times two as it takes for
//! 65,536 chunks to be enough. The list of their hashes merges to the content's hash and to no other, so whoever sends it
//! need not be trusted. (What BLAKE3 itself calls a chunk are 1024 bytes.)

use crate::ground::Content;
use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};
use blake3::{Hasher, OUT_LEN};
use std::sync::Arc;

/// Length of the shortest chunks. Guess: small enough that little is lost with a wrong one, and so long that its hash is
/// computed at full speed, and costs a two-thousandth of it to send.
pub const LEAST_CHUNK_BYTES: u64 = 64 << 10;

/// Most chunks of one content: their list is 2 MiB.
pub const MAX_CHUNKS: u64 = 1 << 16;

/// Content, and the list of its chunks' hashes that proves itself. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    content: Content,
    /// Empty where one chunk is all: its hash is the content's.
    list: Arc<[ChainingValue]>,
}

impl Pieces {
    /// The list, if it is that of the content. Where the content is a single chunk, its list is empty.
    pub fn proven(content: Content, list: Vec<ChainingValue>) -> Option<Pieces> {
        let listed = if chunk_count(content.len_bytes) == 1 { 0 } else { chunk_count(content.len_bytes) };
        let is_right = list.len() as u64 == listed && (list.is_empty() || merge_root(&list) == content.hash);
        is_right.then(|| Pieces { content, list: list.into() })
    }

    /// Of content that is a single chunk.
    pub fn single(content: Content) -> Option<Pieces> {
        Pieces::proven(content, Vec::new())
    }

    /// Reads what [`to_bytes`](Pieces::to_bytes) wrote, and checks it.
    pub fn from_bytes(content: Content, bytes: &[u8]) -> Option<Pieces> {
        let (hashes, rest) = bytes.as_chunks::<OUT_LEN>();
        Pieces::proven(content, hashes.to_vec()).filter(|_| rest.is_empty())
    }

    /// 32 bytes for each chunk, in their order; none where one chunk is all.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.list.as_flattened().to_vec()
    }

    /// What a store keeps of it beside the content: nothing where one chunk is all.
    pub(super) fn to_kept(&self) -> Option<Vec<u8>> {
        (self.count() > 1).then(|| self.to_bytes())
    }

    /// What the chunks make up.
    pub fn content(&self) -> Content {
        self.content
    }

    /// How many chunks there are: at least one, which may be empty.
    pub fn count(&self) -> u64 {
        chunk_count(self.content.len_bytes)
    }

    /// Where a chunk begins, in bytes.
    pub fn start(&self, index: u64) -> u64 {
        index * chunk_size(self.content.len_bytes)
    }

    /// How long a chunk is, in bytes; only the last may be shorter than the others.
    pub fn chunk_len(&self, index: u64) -> u64 {
        chunk_size(self.content.len_bytes).min(self.content.len_bytes - self.start(index))
    }

    /// Whether these are the bytes of a chunk.
    pub fn verify(&self, index: u64, bytes: &[u8]) -> bool {
        if bytes.len() as u64 != self.chunk_len(index) {
            return false;
        }
        match self.list.get(index as usize) {
            Some(hash) => subtree(self.start(index), bytes).finalize_non_root() == *hash,
            None => *blake3::hash(bytes).as_bytes() == self.content.hash,
        }
    }
}

/// How long the chunks of so much content are, in bytes, apart from the last.
pub fn chunk_size(len_bytes: u64) -> u64 {
    len_bytes.div_ceil(MAX_CHUNKS).next_power_of_two().max(LEAST_CHUNK_BYTES)
}

/// How many chunks so much content has: at least one.
pub fn chunk_count(len_bytes: u64) -> u64 {
    len_bytes.div_ceil(chunk_size(len_bytes)).max(1)
}

fn subtree(start: u64, bytes: &[u8]) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(start).update(bytes);
    hasher
}

/// The hash of at least two chunks.
fn merge_root(list: &[ChainingValue]) -> [u8; OUT_LEN] {
    let (left, right) = halves(list);
    *merge_subtrees_root(&merge(left), &merge(right), Mode::Hash).as_bytes()
}

fn merge(list: &[ChainingValue]) -> ChainingValue {
    if let [hash] = list {
        return *hash;
    }
    let (left, right) = halves(list);
    merge_subtrees_non_root(&merge(left), &merge(right), Mode::Hash)
}

/// BLAKE3 §2.1: on the left as many as are a power of two, and still fewer than all.
fn halves(list: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    list.split_at(list.len().next_power_of_two() / 2)
}

/// Hashes bytes as they come, as fast as BLAKE3 alone, and ends with the list of chunks too.
#[derive(Clone, Default)]
pub struct PieceHasher {
    /// All that is before the chunk under way.
    list: Vec<ChainingValue>,
    chunk: Hasher,
    /// So many times the shortest; zero: once.
    doublings: u32,
    len_bytes: u64,
}

impl PieceHasher {
    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.chunk.count() == self.chunk_size() {
                self.next_chunk();
            }
            let room = (self.chunk_size() - self.chunk.count()).min(bytes.len() as u64);
            let (now, later) = bytes.split_at(room as usize);
            self.chunk.update(now);
            self.len_bytes += room;
            bytes = later;
        }
    }

    /// How many bytes came.
    pub fn count(&self) -> u64 {
        self.len_bytes
    }

    /// What they are.
    pub fn finish(mut self) -> Pieces {
        if self.list.is_empty() {
            let content = Content { hash: *self.chunk.finalize().as_bytes(), len_bytes: self.len_bytes };
            return Pieces { content, list: Arc::default() };
        }
        self.list.push(self.chunk.finalize_non_root());
        let content = Content { hash: merge_root(&self.list), len_bytes: self.len_bytes };
        Pieces { content, list: self.list.into() }
    }

    fn chunk_size(&self) -> u64 {
        LEAST_CHUNK_BYTES << self.doublings
    }

    fn next_chunk(&mut self) {
        self.list.push(self.chunk.finalize_non_root());
        if self.list.len() as u64 == MAX_CHUNKS {
            let pairs = self.list.as_chunks::<2>().0;
            self.list = pairs.iter().map(|pair| merge(pair)).collect();
            self.doublings += 1;
        }
        self.chunk = Hasher::new();
        self.chunk.set_input_offset(self.len_bytes);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes without any pattern, and what they are.
    pub fn noise(len: usize) -> (Vec<u8>, Pieces) {
        let mut bytes = vec![0; len];
        Hasher::new().finalize_xof().fill(&mut bytes);
        let pieces = pieces_of(&bytes);
        (bytes, pieces)
    }

    pub fn pieces_of(bytes: &[u8]) -> Pieces {
        let mut hasher = PieceHasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    fn range(pieces: &Pieces, index: u64) -> std::ops::Range<usize> {
        let start = pieces.start(index) as usize;
        start..start + pieces.chunk_len(index) as usize
    }

    #[test]
    fn pieces_of_any_length_are_those_of_plain_blake3() {
        for len in [0, 1, 1024, 65_535, 65_536, 65_537, 131_072, 200_000, (1 << 20) + 1, 3 << 20] {
            let (bytes, pieces) = noise(len);
            assert_eq!(pieces.content().hash, *blake3::hash(&bytes).as_bytes(), "{len}");
            assert_eq!(Pieces::from_bytes(pieces.content(), &pieces.to_bytes()).as_ref(), Some(&pieces), "{len}");
            let lens: u64 = (0..pieces.count()).map(|index| pieces.chunk_len(index)).sum();
            assert_eq!(lens, len as u64);
            assert!((0..pieces.count()).all(|index| pieces.verify(index, &bytes[range(&pieces, index)])), "{len}");
        }
    }

    #[test]
    fn long_content_has_longer_chunks_and_no_more_of_them() {
        assert_eq!((chunk_size(0), chunk_count(0)), (LEAST_CHUNK_BYTES, 1));
        assert_eq!((chunk_size(4 << 30), chunk_count(4 << 30)), (64 << 10, MAX_CHUNKS));
        assert_eq!((chunk_size((4 << 30) + 1), chunk_count((4 << 30) + 1)), (128 << 10, MAX_CHUNKS / 2 + 1));
        assert!(chunk_count(u64::MAX) <= MAX_CHUNKS);
    }

    #[test]
    fn the_hasher_doubles_its_chunks_where_they_become_too_many() {
        // As long content as the test has time for: the doubling is done by hand.
        let (bytes, pieces) = noise(1 << 20);
        let mut hasher = PieceHasher { doublings: 1, ..PieceHasher::default() };
        hasher.update(&bytes);
        let coarse = hasher.finish();
        assert_eq!(coarse.content(), pieces.content());
        let merged: Vec<ChainingValue> = pieces.list.as_chunks::<2>().0.iter().map(|pair| merge(pair)).collect();
        assert_eq!(*coarse.list, *merged);
    }

    #[test]
    fn a_list_of_another_length_proves_nothing() {
        let (_, pieces) = noise(200_000);
        let content = pieces.content();
        let list = pieces.list.to_vec();
        assert!(Pieces::proven(content, list[..3].to_vec()).is_none());
        assert!(Pieces::proven(content, Vec::new()).is_none());
        assert!(Pieces::proven(Content { len_bytes: 131_072, ..content }, list.clone()).is_none());
        assert!(Pieces::from_bytes(content, &pieces.to_bytes()[1..]).is_none());
        assert!(Pieces::single(content).is_none());
    }

    proptest! {
        #[test]
        fn a_flipped_bit_of_a_chunk_is_noticed_in_it_and_nowhere_else(at in 0usize..200_000, bit in 0u8..8) {
            let (mut bytes, pieces) = noise(200_000);
            bytes[at] ^= 1 << bit;
            for index in 0..pieces.count() {
                let range = range(&pieces, index);
                prop_assert_eq!(pieces.verify(index, &bytes[range.clone()]), !range.contains(&at));
            }
        }

        #[test]
        fn a_flipped_bit_of_a_list_proves_nothing(at in 0usize..128, bit in 0u8..8) {
            let (_, pieces) = noise(200_000);
            let mut list = pieces.to_bytes();
            list[at] ^= 1 << bit;
            prop_assert!(Pieces::from_bytes(pieces.content(), &list).is_none());
        }

        #[test]
        fn bytes_hash_alike_however_they_come(cuts in proptest::collection::vec(1usize..200_000, 0..5)) {
            let (bytes, pieces) = noise(200_000);
            let mut hasher = PieceHasher::default();
            let mut cuts = cuts;
            cuts.sort();
            let mut from = 0;
            for cut in cuts {
                hasher.update(&bytes[from..cut]);
                from = cut;
            }
            hasher.update(&bytes[from..]);
            prop_assert_eq!(hasher.finish(), pieces);
        }
    }
}
