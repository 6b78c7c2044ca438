//! Transfers between real processes that are cut short, go on, and keep to their limits.

mod common;

use common::{Lab, Ring, SOON, eventually, noise};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// How many bytes on disk belong to files whose names end so.
fn allocated(folder: &Path, ending: &str) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir(folder).unwrap().flatten();
    let meant = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(ending));
    meant.filter_map(|entry| entry.metadata().ok()).map(|about| about.blocks() * 512).sum()
}

/// How many chunks the sidecar of a request says are here.
fn chunks_here(folder: &Path, of: usize) -> Option<u32> {
    let mut entries = fs::read_dir(folder).ok()?.flatten();
    let sidecar = entries.find(|entry| entry.file_name().to_string_lossy().ends_with(".have"))?;
    let bytes = fs::read(sidecar.path()).ok()?;
    let bits = bytes.get(bytes.len().checked_sub(of / 8)?..)?;
    Some(bits.iter().map(|byte| byte.count_ones()).sum())
}

/// Peers 2 and 8; the file belongs to 8 alone, which sends at most so many MiB a second.
fn slow_pair(len: usize, mib: u32) -> Ring {
    let mut ring = Ring::empty(Lab::new(), "1");
    ring.start("init 2 8 2 1 --replicas 1");
    ring.start(&format!("init 8 2 8 1 --replicas 1 --limit-up {mib}M"));
    ring.settles();
    let source = ring.lab.source("0007", &noise(len, 7));
    ring[2].type_line(&format!("Store {}", source.display()));
    ring[2].wait_for("Stored 0007: 1 copy, at Peer 8", SOON);
    ring.files.push(source);
    ring.mark();
    ring
}

#[test]
fn a_holder_keeps_to_its_limit() {
    let ring = slow_pair(12 * MIB, 4);
    let begun = Instant::now();
    ring[2].order(&ring.files[0]);
    ring[2].gets(&ring.files[0], SOON);
    // The least that 4 MiB a second allow, but for what may go at once. Slower is the machine's affair.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(2_700), "{took:?}");
}

#[test]
fn a_requester_killed_half_way_goes_on_where_it_was() {
    // Seconds are left when it goes on.
    let mut ring = slow_pair(16 * MIB, 2);
    let chunks = 16 * MIB / (64 << 10);
    ring[2].order(&ring.files[0]);
    let dir = ring[2].dir.clone();
    let half = || chunks_here(&dir, chunks).filter(|here| *here as usize > chunks / 2);
    let here = eventually(SOON * 2, "half of it is here", half);
    ring.take(2).kill();
    let kept = chunks_here(&dir, chunks).expect("the sidecar stays");
    assert!(kept >= here);
    ring.start("init 2 8 2 1 --replicas 1");
    ring[2].wait_for("Ping response received from Peer 8", SOON);
    ring[2].order(&ring.files[0]);
    ring[2].wait_for("Receiving File 0007 from Peer 8", SOON);
    let now = chunks_here(&dir, chunks).expect("at its limit the holder is not done yet");
    assert!(now >= kept && (now as usize) < chunks, "{kept} were here, and now {now}");
    ring[2].gets(&ring.files[0], SOON * 2);
    assert_eq!(allocated(&dir, ".part"), 0, "nothing is left beside it");
    assert_eq!(allocated(&dir, ".have"), 0);
}
