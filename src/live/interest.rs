//! Whether somebody still waits for what was ordered.

use std::sync::{Arc, Weak};

/// Held by who waits: the order is worth its work as long as this lives.
#[derive(Debug, Default)]
pub struct Waiting(Arc<()>);

/// What the order keeps of it.
#[derive(Clone, Debug)]
pub struct Interest(Option<Weak<()>>);

impl Waiting {
    /// For an order that is called off when this is dropped.
    pub fn interest(&self) -> Interest {
        Interest(Some(Arc::downgrade(&self.0)))
    }
}

impl Interest {
    /// Of an order that is carried out whoever waits.
    pub const LASTING: Interest = Interest(None);

    /// It is worth going on.
    pub fn lasts(&self) -> bool {
        self.0.as_ref().is_none_or(|waiting| waiting.strong_count() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interest_lasts_as_long_as_somebody_waits() {
        let waiting = Waiting::default();
        let interest = waiting.interest();
        assert!(interest.lasts());
        drop(waiting);
        assert!(!interest.lasts() && Interest::LASTING.lasts());
    }
}
