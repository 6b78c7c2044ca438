//! One file to N peers that all want it at once, with limited uplinks, beside the textbook's two bounds (Kurose and Ross).
//!
//! Who has the file sends at u_s = 10 u, everybody else at u; downlinks are not limited. The ring, with one copy of the file.

use super::book::{Book, Shown};
use super::cluster::{Cluster, Engine};
use super::material::Image;
use super::ours::{request_wish, store_wish};
use super::table::written;
use super::{OverlayName, Setting, failed};
use crate::cli::client::Wire;
use crate::ground::{Chance, FileName, Id, Naming};
use crate::web::schema::Trouble;
use hyper::Method;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Uplink of a peer, in bytes a second; who has the file has ten times as much.
const UPLINK: u64 = 2 << 20;
const TIMES: u64 = 10;

/// The file, and how many want it. Guess: half a minute for the most.
const FULL: (usize, &[usize]) = (64_000_000, &[1, 2, 5, 10, 20, 30]);
const QUICK: (usize, &[usize]) = (8_000_000, &[1, 2, 5]);

/// Names tried until one belongs to the peer that shall have the file: with thirty others, a thousand are enough.
const NAME_TRIES: usize = 100_000;

const COLUMNS: &[&str] = &["n", "measured_s", "peer_to_peer_bound_s", "client_server_bound_s", "ratio"];

/// Runs it.
pub async fn run(setting: &Setting, book: &mut Book) -> Result<(), Trouble> {
    let (len_bytes, counts) = if setting.quick { QUICK } else { FULL };
    book.about.push(format!(
        "{} MB to N peers that ask at once; who has it sends at u_s = {} MiB/s, each of the others at u = {} MiB/s, and \
         downlinks are not limited. Client-server takes at least max(N F / u_s, F / d), peer to peer at least \
         max(F / u_s, F / d, N F / (u_s + N u)).",
        len_bytes / 1_000_000,
        (TIMES * UPLINK) >> 20,
        UPLINK >> 20
    ));
    book.open("", "p2p, ring", "Seconds until the last peer has the file");
    let outcome = measure_all(setting, len_bytes, counts, book).await;
    let part = book.last();
    let rows = part.tables.first().map_or_else(Vec::new, |table| table.rows.clone());
    let row =
        |(count, numbers): (String, Vec<f64>)| std::iter::once(count).chain(numbers.into_iter().map(written)).collect();
    let header = ["N", "measured, s", "peer to peer, at least", "client-server, at least", "measured / peer to peer"];
    book.shown.push(Shown {
        title: "Seconds until the last of N peers has the file".to_owned(),
        header: header.map(str::to_owned).to_vec(),
        rows: rows.into_iter().map(row).collect(),
    });
    outcome
}

async fn measure_all(setting: &Setting, len_bytes: usize, counts: &[usize], book: &mut Book) -> Result<(), Trouble> {
    let bar = setting.progress.bar("peers that want the file", counts.iter().sum());
    for count in counts {
        let took = measure(setting, len_bytes, *count).await?.as_secs_f64();
        let (peers, servers) = bounds(len_bytes as f64, *count as f64, UPLINK as f64);
        let table = book.last().table("distribute.csv", "Seconds until the last peer has the file", COLUMNS);
        table.means = false;
        table.push(count.to_string(), [took, peers, servers, took / peers]);
        bar.inc(*count as u64);
    }
    Ok(())
}

/// The least seconds that N peers can take among themselves, and that a server can take.
fn bounds(len_bytes: f64, count: f64, uplink: f64) -> (f64, f64) {
    let server = TIMES as f64 * uplink;
    ((len_bytes / server).max(count * len_bytes / (server + count * uplink)), count * len_bytes / server)
}

/// From the moment when all ask to that when the last has it.
async fn measure(setting: &Setting, len_bytes: usize, count: usize) -> Result<Duration, Trouble> {
    let engine = Engine::Ours { overlay: OverlayName::Ring, k: 8, replicas: 1, kept: setting.kept };
    let mut cluster = Cluster::new(engine)?;
    let limit = |rate: u64| ["--limit-up".to_owned(), rate.to_string()];
    let source = cluster.start(None, &limit(TIMES * UPLINK)).await?;
    for _ in 0..count {
        cluster.start(Some(source), &limit(UPLINK)).await?;
    }
    let ids: Vec<Id> = (0..=count).map(|at| Id::new(cluster.ours(at).plate.id.0)).collect();
    let name = name_kept_by(&ids)?;
    let image = made(&cluster.ours(source).folder.clone(), &name, len_bytes, setting.seed.wrapping_add(count as u64))?;
    let (route, body) = store_wish(&image.path, &name)?;
    Wire::new(cluster.ours(source).plate.clone()).ask(Method::POST, route, body, |_| ()).await?;

    let mut takers = JoinSet::new();
    let mut paths = Vec::new();
    let begun = Instant::now();
    for at in 1..=count {
        let taker = cluster.ours(at);
        let path = taker.folder.join("got");
        let ((route, body), mut wire) = (request_wish(&path, &name)?, Wire::new(taker.plate.clone()));
        takers.spawn(async move { wire.ask(Method::POST, route, body, |_| ()).await });
        paths.push(path);
    }
    while let Some(ended) = takers.join_next().await {
        ended.map_err(failed)??;
    }
    let took = begun.elapsed();
    let whole = fs::read(&image.path).map_err(failed)?;
    match paths.iter().all(|path| fs::read(path).is_ok_and(|bytes| bytes == whole)) {
        true => Ok(took),
        false => Err(failed("what a peer received is not what was stored")),
    }
}

/// A name whose place belongs to the first of these.
fn name_kept_by(ids: &[Id]) -> Result<String, Trouble> {
    let owner = |place: Id| ids.iter().min_by_key(|id| place.clockwise_to(**id));
    let names = (0..NAME_TRIES).map(|at| format!("{at}.bin"));
    let belongs =
        |name: &String| FileName::parse(name).is_ok_and(|name| owner(Naming::Hashed.place(&name)) == ids.first());
    names
        .into_iter()
        .find(belongs)
        .ok_or_else(|| failed("no name belongs to the peer that shall have the file: try again"))
}

fn made(folder: &Path, name: &str, len_bytes: usize, seed: u64) -> Result<Image, Trouble> {
    let mut chance = Chance::seeded(seed);
    let bytes: Vec<u8> = (0..len_bytes.div_ceil(8)).flat_map(|_| chance.bits().to_le_bytes()).collect();
    let path = folder.join(format!("source-{name}"));
    fs::write(&path, &bytes[..len_bytes]).map_err(failed)?;
    Ok(Image { name: name.to_owned(), path, len_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_textbooks_example_comes_out() {
        // F / u is an hour and u_s = 10 u: a server needs 6 minutes for each peer, peers among themselves less than an hour.
        let (peers, servers) = bounds(3600.0, 30.0, 1.0);
        assert!((servers - 30.0 * 360.0).abs() < 1e-9);
        assert!((peers - 30.0 * 3600.0 / 40.0).abs() < 1e-9);
        let (peers, servers) = bounds(3600.0, 1.0, 1.0);
        assert!(
            (peers - 360.0).abs() < 1e-9 && (servers - 360.0).abs() < 1e-9,
            "one peer gets it from its holder alone"
        );
        assert!(bounds(3600.0, 1e9, 1.0).0 < 3600.0);
    }

    #[test]
    fn the_name_belongs_to_the_first_peer() {
        let ids: Vec<Id> = (0..30_u8).map(|at| Id::hashed(&[at])).collect();
        let place = Naming::Hashed.place(&FileName::parse(&name_kept_by(&ids).unwrap()).unwrap());
        assert!(ids.iter().all(|id| place.clockwise_to(ids[0]) <= place.clockwise_to(*id)));
    }
}
