//! What is scheduled in a made-up world, in the order of its time; of one moment, in the order of its scheduling.
//!
//! The heap holds small entries alone, since all that is in it is moved about; what is large lies still beside it.

use super::PeerIndex;
use super::engine::Event;
use crate::ground::Moment;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// All that is going to happen.
#[derive(Default)]
pub(super) struct Future {
    heap: BinaryHeap<Reverse<Entry>>,
    last: u64,
    events: Vec<Option<Event>>,
    /// Places in `events` that are empty.
    free: Vec<u32>,
}

/// Ordered by time and number: no two have the same.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Moment,
    number: u64,
    what: What,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Wake(u32),
    /// Its place in `events`.
    Event(u32),
}

/// What happens next.
pub(super) enum Next {
    /// A peer's time to wake has come.
    Wake(PeerIndex),
    /// Anything else.
    Event(Event),
}

impl Future {
    pub fn wake(&mut self, at: Moment, peer: PeerIndex) {
        self.push(at, What::Wake(peer as u32));
    }

    pub fn schedule(&mut self, at: Moment, event: Event) {
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                self.events.len() as u32 - 1
            }
        };
        self.push(at, What::Event(place));
    }

    /// The next of all, if its time comes by `end`.
    pub fn next(&mut self, end: Moment) -> Option<(Moment, Next)> {
        if self.heap.peek()?.0.at > end {
            return None;
        }
        let Reverse(Entry { at, what, .. }) = self.heap.pop()?;
        let next = match what {
            What::Wake(peer) => Next::Wake(peer as usize),
            What::Event(place) => {
                self.free.push(place);
                Next::Event(self.events[place as usize].take().expect("a place is free only when its event was taken"))
            }
        };
        Some((at, next))
    }

    fn push(&mut self, at: Moment, what: What) {
        self.last += 1;
        self.heap.push(Reverse(Entry { at, number: self.last, what }));
    }
}
