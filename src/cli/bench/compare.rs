//! Ring and Kademlia beside each other: the same files and strings in the same run.

use super::book::{Book, Shown};
use super::cluster::{Cluster, Engine};
use super::sets::{self, Plan, Reader, Roles};
use super::table::written;
use super::topology::star;
use super::variants::NARROW_K;
use super::{OverlayName, Setting};
use crate::web::schema::Trouble;
use std::fs;

/// How many peers each network has.
const PEERS: usize = 12;

/// What is compared: what it is called, and where its durations are.
const ROWS: [(&str, &str); 4] = [
    ("store an image", "img_write.csv"),
    ("request an image", "img_read.csv"),
    ("set a string", "str_write.csv"),
    ("get a string", "str_read.csv"),
];

/// Runs it.
pub async fn run(setting: &Setting, book: &mut Book) -> Result<(), Trouble> {
    let peers = setting.peers.unwrap_or(PEERS);
    book.about.push(format!(
        "{peers} peers, all joined to the first; {NARROW_K} copies of files and values in both overlays. Written at the second \
         peer; each thing is read by the one that keeps the fewest parts of it."
    ));
    let mut bytes = Vec::new();
    let outcome = both(setting, peers, book, &mut bytes).await;
    let mean = |folder: &str, file: &str| book.part(folder).and_then(|part| part.mean(file));
    let shown = |time: Option<f64>| time.map_or("–".to_owned(), |time| format!("{time:.2}"));
    let row = |(what, file): (&str, &str)| {
        let [ring, kademlia] = ["ring", "kademlia"].map(|folder| mean(folder, file));
        let ratio = ring.zip(kademlia).map(|(ring, kademlia)| ring / kademlia);
        vec![what.to_owned(), shown(ring), shown(kademlia), shown(ratio)]
    };
    let mut rows: Vec<Vec<String>> = ROWS.into_iter().map(row).collect();
    if let [ring, kademlia] = bytes[..] {
        let megabytes = |bytes: u64| written((bytes as f64 / 1e4).round() / 100.0);
        let ratio = shown(Some(ring as f64 / kademlia as f64));
        rows.push(vec![
            "MB over the loopback, by all programs".to_owned(),
            megabytes(ring),
            megabytes(kademlia),
            ratio,
        ]);
    }
    book.shown.push(Shown {
        title: "Ring and Kademlia, means in ms".to_owned(),
        header: ["", "ring", "Kademlia", "ring / Kademlia"].map(str::to_owned).to_vec(),
        rows,
    });
    outcome
}

async fn both(setting: &Setting, peers: usize, book: &mut Book, bytes: &mut Vec<u64>) -> Result<(), Trouble> {
    for (overlay, folder) in [(OverlayName::Ring, "ring"), (OverlayName::Kademlia, "kademlia")] {
        let part = book.open(folder, overlay.label(), overlay.label());
        part.rival = (overlay == OverlayName::Ring).then(|| "kademlia".to_owned());
        let engine = Engine::Ours { overlay, k: NARROW_K, replicas: NARROW_K, kept: setting.kept };
        let roles = Some(Roles { writer: 1, reader: Reader::Without });
        let before = loopback_bytes();
        let plan = Plan { seats: &star(peers), images: roles, texts: roles };
        sets::run(setting, &mut Cluster::new(engine)?, &plan, book).await?;
        bytes.extend(loopback_bytes().zip(before).map(|(after, before)| after.saturating_sub(before)));
    }
    Ok(())
}

/// What has been sent over the loopback since the machine started.
fn loopback_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/net/dev").ok()?;
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("lo:"))?;
    line.split_whitespace().next()?.parse().ok()
}
