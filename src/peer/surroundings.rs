//! The overlay as its peer holds it. After each input the same few things are asked of it, and mostly nothing has
//! changed: whoever changes it comes by here, and what was said before is good until then.

use super::Peer;
use crate::ground::{Contact, Moment};
use crate::overlay::{Near, Overlay};
use std::ops::{Deref, DerefMut};

impl Peer {
    /// A made-up beginning: it has heard from these, and on the ring who is near it, as if it had been there for long.
    pub fn acquaint(&mut self, now: Moment, known: &[Contact], near_us: Option<&Near>) {
        known.iter().for_each(|contact| self.overlay.heard_from(now, *contact));
        if let Some(near_us) = near_us {
            self.overlay.joined(now, near_us);
        }
        self.note_successors();
        self.settle(now);
    }
}

/// An overlay, and whether it may have changed.
pub(super) struct Surroundings {
    overlay: Box<dyn Overlay>,
    touched: u64,
    due: Moment,
    /// What `touched` was when `due` was asked for.
    due_as_of: u64,
}

impl Surroundings {
    pub fn new(overlay: Box<dyn Overlay>) -> Surroundings {
        Surroundings { due: overlay.due(), overlay, touched: 0, due_as_of: 0 }
    }

    /// Counts up whenever something may have changed.
    pub fn touched(&self) -> u64 {
        self.touched
    }

    /// This peer answered us. Mostly that changes nothing of what the others ask.
    pub fn heard_from(&mut self, now: Moment, contact: Contact) {
        let changed = self.overlay.heard_from(now, contact);
        self.touched += u64::from(changed);
    }

    /// When something is due next.
    pub fn due(&self) -> Moment {
        if self.due_as_of == self.touched { self.due } else { self.overlay.due() }
    }

    /// Asks what is due now, for all who will want to know it.
    pub fn look_what_is_due(&mut self) {
        (self.due, self.due_as_of) = (self.due(), self.touched);
    }
}

impl Deref for Surroundings {
    type Target = dyn Overlay;

    fn deref(&self) -> &(dyn Overlay + 'static) {
        &*self.overlay
    }
}

impl DerefMut for Surroundings {
    fn deref_mut(&mut self) -> &mut (dyn Overlay + 'static) {
        self.touched += 1;
        &mut *self.overlay
    }
}
