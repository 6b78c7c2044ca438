//! What all transfers of one peer share.

use super::crowd::Crowd;
use super::give::Served;
use super::pace::Pace;
use super::progress::Progress;
use super::uplink::Uplink;
use crate::ground::Content;
use crate::store::Partial;
use std::sync::Arc;

/// How fast a peer's transfers go together, in bytes a second; none: as fast as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What it sends.
    pub up: Option<u64>,
    /// What it receives.
    pub down: Option<u64>,
}

/// What all transfers of one peer share: its links, and who takes what.
pub struct Exchange {
    pub(super) uplink: Uplink,
    pub(super) downlink: Pace,
    pub(super) crowd: Crowd,
    /// How far they have come.
    pub progress: Arc<Progress>,
}

impl Exchange {
    /// `seed`: for what is drawn by lot.
    pub fn new(limits: Limits, seed: u64) -> Exchange {
        Exchange {
            uplink: Uplink::new(limits.up, seed),
            downlink: Pace::new(limits.down),
            crowd: Crowd::default(),
            progress: Arc::default(),
        }
    }

    /// Content that is not whole here yet, as it is given to others.
    pub fn arriving(&self, content: &Content) -> Option<Served> {
        self.partial(content).map(Served::Growing)
    }

    /// The same, to be read here.
    pub fn partial(&self, content: &Content) -> Option<Arc<Partial>> {
        self.crowd.arriving(content)
    }
}
