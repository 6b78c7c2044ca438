//! The overlay as its peer holds it. After each input the same few things are asked of it, and mostly nothing has
//! changed: whoever changes it comes by here, and what was said before is good until then.

use crate::ground::Moment;
use crate::overlay::Overlay;
use std::ops::{Deref, DerefMut};

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
