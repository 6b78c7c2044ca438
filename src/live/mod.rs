//! One peer in the real world: sockets, the clock and tasks. Knows nothing of terminals.
//!
//! [`Host`] owns a [`Peer`](crate::peer::Peer), tells it what happens and does what it wants done. A host never waits
//! for a disk or another machine: such work is done by its `hands`, which `carry` files; callers are met at the `door`.

mod advertising;
mod body;
mod carry;
mod config;
mod door;
mod hands;
mod host;
mod interest;
mod life;
mod lines;
mod memory;
mod meters;
mod neighbours;
mod node;
mod orders;
mod reading;
mod scrub;
mod sockets;
mod sweeping;
mod unreachable;

pub use crate::overlay::{Eviction, Kind, RingTuning, Tuning};
pub use crate::store::is_for_lack_of_room;
pub use crate::transfer::Limits;
pub use config::{Beginning, Config, Folders, Identity};
pub use host::{Event, Host, Reply, StartError, Unheard, runtime};
pub use interest::{Interest, Waiting};
pub use memory::drawn as drawn_id;
pub use meters::{Look, Meters};
pub use neighbours::Place;
pub use node::{Node, Setup};
pub use reading::{Arriving, Growing, NoRoom, Opened};
pub use sockets::{Bound, allow_handles};
