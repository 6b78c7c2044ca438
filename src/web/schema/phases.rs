//! What is told while something goes on.

use super::Who;
use serde::{Deserialize, Serialize};

/// What has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Those who shall keep a file, or have it, are looked for.
    Searching {
        /// The file's name.
        name: String,
    },
    /// Somebody on the way is asked.
    Asking {
        /// The file's name.
        name: String,
        /// How many peers led to this one, itself included.
        hop: usize,
        /// How many have been asked, in all.
        asked: usize,
    },
    /// Bytes go to a peer.
    Sending {
        /// The file's name.
        name: String,
        /// Who gets them.
        to: Who,
    },
    /// Bytes come from a peer.
    Receiving {
        /// The file's name.
        name: String,
        /// Who has them.
        from: Who,
    },
    /// A holder failed; the others go on.
    HolderFailed {
        /// The file's name.
        name: String,
        /// The holder.
        holder: Who,
        /// Why.
        reason: String,
    },
    /// Copies are being made.
    Repairing {
        /// The file's name.
        name: String,
        /// How many are good by now.
        good: usize,
        /// How many there should be.
        wanted: usize,
    },
    /// The peer hands over and says goodbye.
    Leaving,
    /// The peer leaves with files that nobody else has, because nobody takes them.
    NotTaken {
        /// How many.
        files: usize,
    },
}
