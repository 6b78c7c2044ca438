//! The assignment's script in one sitting, typed at seven real processes on the assignment's own ports.

mod common;

use common::{Lab, Line, Peer, Ring, SEVEN, SOON, same_bytes};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Everything there is to tell, pings left out, peer by peer, from the first moment to the last.
const TOLD: [(u8, &[&str]); 8] = [
    (
        2,
        &[
            "File request for 4103 has been sent to my successor",
            "Peer 8 had File 4103",
            "Receiving File 4103 from Peer 8",
            "File 4103 received",
        ],
    ),
    (
        4,
        &[
            "Peer 15 Join request forwarded to my successor",
            "Request for File 4103 has been received, but the file is not stored here",
        ],
    ),
    (
        5,
        &[
            "Peer 9 will depart from the network",
            "My new first successor is Peer 8",
            "My new second successor is Peer 14",
            "Peer 15 Join request forwarded to my successor",
            "Peer 14 is no longer alive",
            "My new first successor is Peer 8",
            "My new second successor is Peer 15",
            "Request for File 4103 has been received, but the file is not stored here",
        ],
    ),
    (
        8,
        &[
            "Peer 9 will depart from the network",
            "My new first successor is Peer 14",
            "My new second successor is Peer 19",
            "Store 2067 request forwarded to my successor",
            "Peer 15 Join request forwarded to my successor",
            "Successor Change request received",
            "My new first successor is Peer 14",
            "My new second successor is Peer 15",
            "Peer 14 is no longer alive",
            "My new first successor is Peer 15",
            "My new second successor is Peer 19",
            "File 4103 is stored here",
            "Sending file 4103 to Peer 2",
            "The file has been sent",
        ],
    ),
    (9, &[]),
    (
        14,
        &[
            "Store 2067 request forwarded to my successor",
            "Peer 15 Join request received",
            "My new first successor is Peer 15",
            "My new second successor is Peer 19",
        ],
    ),
    (15, &["Join request has been accepted", "My first successor is Peer 19", "My second successor is Peer 2"]),
    (19, &["Store 2067 request accepted"]),
];

/// Who may ever ping whom in the script: the two before it, at some time.
const PINGED_BY: [(u8, &[u8]); 8] = [
    (2, &[14, 15, 19]),
    (4, &[2, 19]),
    (5, &[2, 4]),
    (8, &[4, 5]),
    (9, &[5, 8]),
    (14, &[5, 8, 9]),
    (15, &[5, 8, 14]),
    (19, &[8, 9, 14, 15]),
];

fn copy_files(to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("files")).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// How late a line may be printed and read on a busy machine. Guess.
const LATE: Duration = Duration::from_secs(8);

/// The script, at one ping interval.
fn run_the_script(seconds: u64) {
    let lab = Lab::classic();
    let work = lab.folder("work");
    copy_files(&work.join("files"));
    let mut ring = Ring::empty(lab, &seconds.to_string());
    for (number, [first, second]) in SEVEN {
        let peer = ring.lab.start_in(&work, &format!("init {number} {first} {second} {seconds}"));
        ring.peers.insert(number, peer);
    }
    ring.settles();

    let nine = ring.take(9);
    nine.type_line("Quit");
    assert_eq!(nine.exit(SOON).code(), Some(0));
    ring[8].wait_for("My new second successor is Peer 19", SOON);
    ring[5].wait_for("My new second successor is Peer 14", SOON);

    ring[8].type_line("Store 2067");
    ring[19].wait_for("Store 2067 request accepted", SOON);
    ring[8].wait_for("Stored 2067: 3 copies, at Peers 19, 2 and 4", SOON);

    let fifteen = ring.lab.start_in(&work, &format!("join 15 4 {seconds}"));
    fifteen.wait_for("My second successor is Peer 2", SOON);
    ring.peers.insert(15, fifteen);
    ring[14].wait_for("My new second successor is Peer 19", SOON);
    ring[8].wait_for("My new second successor is Peer 15", SOON);
    ring.closes_within(SOON);

    let fourteen = ring.take(14);
    fourteen.signal(Signal::INT);
    assert_eq!(fourteen.exit(SOON).code(), Some(130));
    for number in [8, 5] {
        ring[number].wait_for("Peer 14 is no longer alive", Duration::from_secs(seconds) + SOON);
    }
    ring.closes_within(SOON);

    ring[2].type_line("Request 4103");
    ring[2].wait_for("File 4103 received", SOON);
    ring[8].wait_for("The file has been sent", SOON);
    assert!(same_bytes(&work.join("received_4103.pdf"), &work.join("files/4103.pdf")));
    // One round more, in which nothing is told.
    ring.mark();
    ring.peers.values().for_each(|peer| {
        peer.wait_until(SOON * 2, "the next pings", |line| line.text.starts_with("Ping requests sent"));
    });

    ring.peers.extend([(9, nine), (14, fourteen)]);
    for (number, told) in TOLD {
        let peer = &ring[number];
        let lines = peer.transcript();
        let others: Vec<&str> = lines.iter().filter(|line| !line.is_ping()).map(|line| &*line.text).collect();
        let aside: &[&str] = if number == 8 { &["Stored 2067: 3 copies, at Peers 19, 2 and 4"] } else { &[] };
        let (aside_told, told_out): (Vec<&str>, Vec<&str>) = others.iter().partition(|text| aside.contains(text));
        assert_eq!(told_out, told, "peer {number}");
        assert_eq!(aside_told, aside, "peer {number}");
        pings_are_right(peer, &lines, seconds);
    }
}

/// Pings go to the successors that were told, once an interval or when these changed; nobody answers one twice.
fn pings_are_right(peer: &Peer, lines: &[Line], seconds: u64) {
    let initial: BTreeMap<u8, [u8; 2]> = SEVEN.into();
    let number = peer.number;
    let legal: BTreeMap<u8, &[u8]> = PINGED_BY.into();
    let mut successors = initial.get(&number).copied().unwrap_or_default();
    let (mut changed, mut regular_rounds) = (false, 0);
    let mut last_round: Option<Instant> = None;
    let mut round: BTreeSet<u8> = BTreeSet::new();
    for line in lines {
        let tail = |head: &str| line.text.strip_prefix(head).map(str::to_owned);
        let one = |head: &str| tail(head).map(|tail| tail.parse::<u8>().unwrap());
        if let Some(first) = one("My new first successor is Peer ").or(one("My first successor is Peer ")) {
            successors[0] = first;
        } else if let Some(second) = one("My new second successor is Peer ").or(one("My second successor is Peer ")) {
            successors[1] = second;
            changed = true;
        } else if let Some(sent) = tail("Ping requests sent to Peers ") {
            assert_eq!(sent, format!("{} and {}", successors[0], successors[1]), "peer {number}");
            if let Some(last) = last_round {
                let pause = line.at.duration_since(last);
                assert!(pause < Duration::from_secs(seconds) + LATE, "peer {number}: no pings for {pause:?}");
            }
            // Counted, not timed: a line that is read late is nearer to the next one than it was printed.
            regular_rounds += u32::from(!changed);
            let intervals = line.at.duration_since(peer.started).as_secs_f64() / seconds as f64;
            assert!(f64::from(regular_rounds) <= intervals + 1.0, "peer {number}: {regular_rounds} in {intervals}");
            (last_round, changed) = (Some(line.at), false);
            round = successors.into();
        } else if let Some(by) = one("Ping response received from Peer ") {
            assert!(round.remove(&by), "peer {number} was answered by {by} twice, or unasked");
        } else if let Some(from) = one("Ping request message received from Peer ") {
            assert!(legal[&number].contains(&from), "peer {number} was pinged by {from}");
        } else {
            assert!(!line.is_ping(), "peer {number}: {line:?}");
        }
    }
    assert!(last_round.is_some(), "peer {number} never sent pings");
}

#[test]
fn the_script_in_one_sitting_tells_every_line_once() {
    run_the_script(2);
}

#[test]
fn the_script_runs_as_written_with_pings_every_15_seconds() {
    run_the_script(15);
}
