//! The same work four times: where everybody keeps everything as in the original, where reads cross the network, and both by
//! the yardstick.

use super::book::Book;
use super::cluster::Cluster;
use super::sets::{self, Plan, Reader, Roles};
use super::topology::Seat;
use super::{OverlayName, Setting};
use crate::web::schema::Trouble;

/// The original's k: with fewer nodes than that, each of them keeps every value.
pub const WIDE_K: usize = 20;

/// How many keep a thing where reads cross the network. Guess: as few as files have by themselves.
pub const NARROW_K: usize = 3;

/// Nodes of the network that reads cross: of so many, three in four keep nothing of a thing.
pub const NARROW_NODES: usize = 12;

/// The most copies of a file that a peer accepts.
pub const MOST_REPLICAS: usize = 16;

/// Where images and strings are written and read in the original's network.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Writer and reader of images, if there are any.
    pub images: Option<(usize, usize)>,
    /// Writer and reader of strings, if there are any.
    pub texts: Option<(usize, usize)>,
}

/// All four, as far as they are wanted: the original's network, and the one that reads cross.
pub async fn run(
    setting: &Setting,
    places: Places,
    seats: &[Seat],
    narrow: &[Seat],
    book: &mut Book,
) -> Result<(), Trouble> {
    let all = seats.len();
    for python in [false, true].into_iter().take(if setting.python.is_some() { 2 } else { 1 }) {
        for wide in [true, false] {
            let k = if wide { WIDE_K } else { NARROW_K };
            let engine = match (&setting.python, python) {
                (Some(interpreter), true) => setting.yardstick(interpreter, k),
                (Some(_) | None, _) => setting.engine(k, if wide { all.min(MOST_REPLICAS) } else { NARROW_K }),
            };
            let folder = match (python, wide) {
                (false, true) => "",
                (false, false) => "network",
                (true, true) => "python",
                (true, false) => "python-network",
            };
            let label = if python { "Python kademlia" } else { setting.overlay.label() };
            let seats = if wide { seats } else { narrow };
            let reads =
                if wide { "reads at a fixed node, which is a keeper itself" } else { "reads that cross the network" };
            let part = book.open(folder, label, format!("{label}: {reads}"));
            part.about.push(format!("{} nodes, k = {k}: {}", seats.len(), kept(setting, seats.len(), python, wide)));
            part.rival = (!python && setting.python.is_some())
                .then(|| if wide { "python".to_owned() } else { "python-network".to_owned() });
            let roles =
                |(writer, reader)| Roles { writer, reader: if wide { Reader::At(reader) } else { Reader::Without } };
            let plan = Plan { seats, images: places.images.map(roles), texts: places.texts.map(roles) };
            sets::run(setting, &mut Cluster::new(engine)?, &plan, book).await?;
        }
    }
    Ok(())
}

/// Who keeps what there, and who reads it, in words.
fn kept(setting: &Setting, nodes: usize, python: bool, wide: bool) -> String {
    let values = match setting.overlay {
        OverlayName::Ring if !python => NARROW_K,
        OverlayName::Ring | OverlayName::Kademlia => WIDE_K,
    };
    match (wide, python) {
        (false, _) => {
            format!("{NARROW_K} nodes keep each thing, and it is read by the one that keeps the fewest parts of it.")
        }
        (true, true) if nodes <= WIDE_K => "each node keeps everything, so who reads asks nobody.".to_owned(),
        (true, true) => format!("{WIDE_K} nodes keep each thing."),
        (true, false) if nodes <= MOST_REPLICAS.min(values) => {
            "each node keeps everything; who reads has it, but asks whether there is a newer version.".to_owned()
        }
        (true, false) => format!("{} nodes keep a file, {values} a value.", nodes.min(MOST_REPLICAS)),
    }
}
