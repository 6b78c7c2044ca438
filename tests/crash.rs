//! Storage can be pulled out of the wall: at every call with which a peer changes a file it is killed, or its disk
//! fails, and no file that was acknowledged is lost, and no torn one delivered. All through the real program.
//!
//! Each sweep hits all calls there are: a step takes a fraction of a second. By default that is a keeper that takes a new
//! file or replaces one (killed, with a failing disk, and with a power cut), a start over what one crash left, and a
//! requester; the nightly adds starts over what each crash leaves.

mod common;
mod faults;

use common::{Peer, eventually, noise};
use faults::{Disk, Fault, LIMIT, Pair, Report, Room, Shim, Told, leftovers, request, sweep};
use rustix::io::Errno;
use rustix::process::Signal;
use std::fs;
use std::path::Path;

const DEADLY: [Fault; 2] = [Fault::Kill, Fault::Tear];
const PAINFUL: [Fault; 4] =
    [Fault::From(Errno::NOSPC), Fault::Once(Errno::NOSPC), Fault::From(Errno::IO), Fault::Once(Errno::IO)];

/// The start is swept over what the first so many calls leave. Measured: a store has 13, and a few more where the bytes
/// come in smaller pieces.
const CRASHES: u64 = 16;

/// A name that the corpus does not have, and one that it has.
const NEW: &str = "0160";
const REPLACED: &str = "0152";
/// To see whether a peer still takes files.
const LATER: &str = "0170";

/// What is stored in each step.
fn bytes() -> Vec<u8> {
    noise(120_000, 160)
}

/// What of a step was stored, and what became of it.
struct Stored {
    name: &'static str,
    told: Told,
}

impl Stored {
    /// It is promised, by the keeper or by a peer that is still there.
    fn is_promised(&self, all_are_there: bool) -> bool {
        match self.told {
            Told::Kept => true,
            Told::KeptElsewhere => all_are_there,
            Told::Failed => false,
        }
    }
}

/// Asks for everything, and says what is missing or wrong. Of the file that was being stored, what was there before is
/// right too, unless the new one is promised.
fn defects_at(asker: &Peer, stored: &[Stored], all_are_there: bool) -> Vec<String> {
    let mut defects = Vec::new();
    let before = |name: &str| Pair::corpus().find(|(other, _)| *other == name).map(|(_, bytes)| bytes);
    for (name, right) in Pair::corpus().filter(|(name, _)| stored.iter().all(|stored| stored.name != *name)) {
        match request(asker, name) {
            Ok(got) if got == right => {}
            Ok(got) => defects.push(format!("{name} is torn: {} bytes", got.len())),
            Err(told) => defects.push(format!("{name} is lost: {told}")),
        }
    }
    for stored in stored {
        let (name, before, promised) = (stored.name, before(stored.name), stored.is_promised(all_are_there));
        match request(asker, name) {
            Ok(got) if got == bytes() => {}
            Ok(got) if before.as_ref() == Some(&got) && !promised => {}
            Ok(got) => defects.push(format!("{name} ({:?}) is torn or too old: {} bytes", stored.told, got.len())),
            Err(_) if before.is_none() && !promised => {}
            Err(told) => defects.push(format!("{name} ({:?}) is lost: {told}", stored.told)),
        }
    }
    defects
}

/// Starts the keeper over what is there, without faults: it says nothing, has swept, and has everything.
fn defects_after(pair: &Pair, room: &Room, folder: &Path, stored: &[Stored]) -> Vec<String> {
    let keeper = pair.keeper(folder, None);
    let asker = pair.asker(&room.folder("after"), None);
    let mut defects = defects_at(&asker, stored, false);
    defects.extend(leftovers(folder).iter().map(|path| format!("{} is left over", path.display())));
    let complaints = keeper.transcript().into_iter().filter(|line| line.stream == common::Stream::Err);
    defects.extend(complaints.map(|line| format!("the keeper complains: {}", line.text)));
    defects
}

/// The keeper is killed while it takes a file; then it starts again.
fn crash_of_a_keeper(pair: &mut Pair, fault: Fault, n: u64, name: &'static str) -> Report {
    let room = pair.room();
    let folder = room.folder("keeper");
    pair.fill(&folder);
    let (told, met) = crash(pair, &room, &folder, fault, n, name);
    let defects = defects_after(pair, &room, &folder, &[Stored { name, told }]);
    Report { met, defects, acknowledged: told == Told::Kept }
}

/// Lets the keeper die at its n-th call while it takes a file, or else right after. True: it met that call.
fn crash(pair: &Pair, room: &Room, folder: &Path, fault: Fault, n: u64, name: &str) -> (Told, bool) {
    let page = room.page();
    let keeper = pair.keeper(folder, Some(&page));
    let asker = pair.asker(&room.folder("asker"), None);
    page.arm(fault, n);
    let told = pair.store(&asker, name, &bytes());
    drop((keeper, asker));
    (told, page.has_hit())
}

#[test]
fn a_keeper_killed_at_any_call_while_it_takes_a_new_file_loses_nothing() {
    let Some(shim) = Shim::compile() else { return };
    sweep(&shim, "keeper, new file", &DEADLY, |pair, fault, n| crash_of_a_keeper(pair, fault, n, NEW));
}

#[test]
fn a_keeper_killed_at_any_call_while_it_replaces_a_file_has_the_old_or_the_new() {
    let Some(shim) = Shim::compile() else { return };
    sweep(&shim, "keeper, replaced file", &DEADLY, |pair, fault, n| crash_of_a_keeper(pair, fault, n, REPLACED));
}

/// The keeper crashes at one call, and then at the n-th call of the start that shall clean up.
fn crash_at_the_start(pair: &mut Pair, fault: Fault, n: u64, left_by: (Fault, u64)) -> Report {
    let room = pair.room();
    let folder = room.folder("keeper");
    pair.fill(&folder);
    let (told, _) = crash(pair, &room, &folder, left_by.0, left_by.1, REPLACED);
    let page = room.page();
    page.arm(fault, n);
    let keeper = pair.begin_keeper(&folder, Some(&page));
    let asker = pair.begin_asker(&room.folder("witness"), None);
    let accepted = |peer: &Peer| peer.lines().iter().any(|line| line.text == "Join request has been accepted");
    eventually(LIMIT, "it starts or dies", || (keeper.has_ended() || accepted(&asker)).then_some(()));
    let mut defects = Vec::new();
    if keeper.has_ended() && !fault.is_deadly() {
        keeper.exit(LIMIT);
        let last = keeper.transcript().pop().map(|line| line.text).unwrap_or_default();
        if !last.starts_with("Cannot start: ") {
            defects.push(format!("it does not start, and says {last:?}"));
        }
    }
    drop((keeper, asker));
    defects.extend(defects_after(pair, &room, &folder, &[Stored { name: REPLACED, told }]));
    Report { met: page.has_hit(), defects, acknowledged: told == Told::Kept }
}

fn start_over_what_is_left_by(shim: &Shim, crashes: impl IntoIterator<Item = (Fault, u64)>) {
    let faults = [&DEADLY[..], &PAINFUL[..]].concat();
    for left_by in crashes {
        let what = format!("start over what is left when {} call {}", left_by.0, left_by.1);
        sweep(shim, &what, &faults, |pair, fault, n| crash_at_the_start(pair, fault, n, left_by));
    }
}

#[test]
fn a_start_that_is_killed_or_fails_at_any_call_loses_nothing() {
    let Some(shim) = Shim::compile() else { return };
    // Somewhere between the bytes and their name.
    start_over_what_is_left_by(&shim, [(Fault::Kill, 7)]);
}

#[test]
#[ignore = "nightly: takes two minutes"]
fn a_start_over_what_any_crash_left_that_is_killed_or_fails_at_any_call_loses_nothing() {
    let Some(shim) = Shim::compile() else { return };
    start_over_what_is_left_by(&shim, (1..=CRASHES).map(|n| (Fault::Kill, n)));
}

/// The keeper's disk fails while it takes a file. It says so, lives on and serves; when the fault is over, it takes files.
fn failure_at_a_keeper(pair: &mut Pair, fault: Fault, n: u64, name: &'static str) -> Report {
    let room = pair.room();
    let folder = room.folder("keeper");
    pair.fill(&folder);
    let page = room.page();
    let keeper = pair.keeper(&folder, Some(&page));
    let asker = pair.asker(&room.folder("asker"), None);
    page.arm(fault, n);
    let told = pair.store(&asker, name, &bytes());
    let met = page.has_hit();
    let mut stored = vec![Stored { name, told }];
    let mut defects = defects_at(&asker, &stored, true);
    page.disarm();
    let later = pair.store(&asker, LATER, &bytes());
    if later != Told::Kept {
        defects.push(format!("afterwards it takes nothing: {later:?}"));
    }
    if keeper.has_ended() {
        defects.push("the keeper died of it".to_owned());
    }
    drop((keeper, asker));
    stored.push(Stored { name: LATER, told: later });
    defects.extend(defects_after(pair, &room, &folder, &stored));
    Report { met, defects, acknowledged: told == Told::Kept }
}

#[test]
fn a_keeper_whose_disk_fails_at_any_call_says_so_and_serves_on() {
    let Some(shim) = Shim::compile() else { return };
    sweep(&shim, "failing keeper, new file", &PAINFUL, |pair, fault, n| failure_at_a_keeper(pair, fault, n, NEW));
}

#[test]
fn a_keeper_whose_disk_fails_at_any_call_while_it_replaces_a_file_has_the_old_or_the_new() {
    let Some(shim) = Shim::compile() else { return };
    sweep(&shim, "failing keeper, replaced file", &PAINFUL, |pair, fault, n| {
        failure_at_a_keeper(pair, fault, n, REPLACED)
    });
}

/// The requester has an older copy, and is killed or has a failing disk at its n-th call.
fn failure_at_a_requester(pair: &mut Pair, fault: Fault, n: u64) -> Report {
    const WANTED: &str = "0153";
    let room = pair.room();
    let folder = room.folder("keeper");
    pair.fill(&folder);
    let right = Pair::corpus().find(|(name, _)| *name == WANTED).expect("the corpus has it").1;
    let (keeper, page, own) = (pair.keeper(&folder, None), room.page(), room.folder("asker"));
    let asker = pair.asker(&own, Some(&page));
    let (older, received) = (noise(200_000, 1), asker.received(WANTED));
    fs::write(&received, &older).unwrap();
    page.arm(fault, n);
    asker.type_line(&format!("Request {WANTED}"));
    let is_end = |text: &str| text.starts_with("File 0153 received") || text.starts_with("File 0153: ");
    let ending = eventually(LIMIT, "it is told, or it dies", || {
        let told = asker.lines().into_iter().find(|line| is_end(&line.text)).map(|line| line.text);
        told.or_else(|| asker.has_ended().then(String::new))
    });
    let (met, got) = (page.has_hit(), fs::read(&received).unwrap_or_default());
    let acknowledged = ending == "File 0153 received";
    let mut defects = Vec::new();
    if got != right && (acknowledged || got != older) {
        defects.push(format!("after {ending:?} there are {} bytes, not the old ones nor the new", got.len()));
    }
    if fault == Fault::From(Errno::NOSPC) && met && !acknowledged && !ending.contains("no space left on the disk") {
        defects.push(format!("a full disk is told as {ending:?}"));
    }
    if !asker.has_ended() {
        page.disarm();
        if request(&asker, WANTED) != Ok(right) {
            defects.push("when the fault is over, it cannot be had".to_owned());
        }
        // A disk that failed to the end has not let go of anything either.
        let left = if fault == Fault::From(Errno::IO) { Vec::new() } else { leftovers(&own) };
        defects.extend(left.iter().map(|path| format!("{} is left over", path.display())));
    }
    drop((keeper, asker));
    Report { met, defects, acknowledged }
}

#[test]
fn a_requester_killed_or_with_a_failing_disk_at_any_call_has_the_old_copy_or_the_new() {
    let Some(shim) = Shim::compile() else { return };
    let faults = [&DEADLY[..], &PAINFUL[..]].concat();
    sweep(&shim, "requester", &faults, failure_at_a_requester);
}

#[test]
fn a_requester_killed_in_mid_transfer_keeps_its_older_copy_and_gets_the_file_next_time() {
    let Some(shim) = Shim::compile() else { return };
    let pair = Pair::new(&shim);
    let (folder, own) = (pair.lab.folder("keeper"), pair.lab.folder("asker"));
    // Seconds are left when it has begun to arrive.
    let keeper = pair.slow_keeper(&folder);
    let asker = pair.asker(&own, None);
    let (large, older) = (noise(40 << 20, 9), b"older");
    assert_eq!(pair.store(&asker, NEW, &large), Told::Kept);
    let received = asker.received(NEW);
    fs::write(&received, older).unwrap();
    asker.type_line(&format!("Request {NEW}"));
    asker.wait_for(&format!("Receiving File {NEW} from Peer 200"), LIMIT);
    asker.signal(Signal::KILL);
    asker.exit(LIMIT);
    assert_eq!(fs::read(&received).unwrap(), older);
    drop((keeper, asker));
    let _keeper = pair.keeper(&folder, None);
    let asker = pair.asker(&own, None);
    assert!(request(&asker, NEW).is_ok_and(|got| got == large));
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let Some(shim) = Shim::compile() else { return };
    let mut pair = Pair::new(&shim);
    let room = pair.room();
    let Some(disk) = Disk::make(&room.folder("before")) else { return };
    let keeper = pair.keeper(disk.path(), None);
    let asker = pair.asker(&room.folder("asker"), None);
    let mut acknowledged: Vec<(&str, Vec<u8>)> = Vec::new();
    let replaced = [(REPLACED, bytes())];
    let mut cut_disks = Vec::new();
    for (number, (name, bytes)) in Pair::corpus().chain(replaced).enumerate() {
        assert_eq!(pair.store(&asker, name, &bytes), Told::Kept);
        acknowledged.retain(|(other, _)| *other != name);
        acknowledged.push((name, bytes));
        cut_disks.push((disk.after_power_cut(&room.folder(&format!("cut-{number}"))), acknowledged.clone()));
    }
    drop((keeper, asker));
    let mut survived = 0;
    for (number, (cut, acknowledged)) in cut_disks.iter().enumerate() {
        let _keeper = pair.keeper(cut.path(), None);
        let asker = pair.asker(&room.folder(&format!("asker-{number}")), None);
        for (name, bytes) in acknowledged {
            assert_eq!(request(&asker, name).as_ref(), Ok(bytes), "{name}, after acknowledgement {number}");
            survived += 1;
        }
    }
    eprintln!("power cut: {} cuts, {survived} of {survived} files whole", cut_disks.len());
}

#[test]
fn a_power_cut_takes_what_nobody_made_durable() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        fs::create_dir(dir.path().join(name)).unwrap();
        dir.path().join(name)
    };
    let Some(disk) = Disk::make(&folder("before")) else { return };
    fs::write(disk.path().join("file"), bytes()).unwrap();
    let cut = disk.after_power_cut(&folder("after"));
    assert!(fs::read(cut.path().join("file")).unwrap_or_default().is_empty(), "the method proves nothing");
    assert_eq!(fs::read(disk.path().join("file")).unwrap(), bytes());
}

/// The keeper meets the fault, and the power fails in the same moment: what the kernel still held is gone too.
fn power_cut_at_a_keeper(pair: &mut Pair, fault: Fault, n: u64, name: &'static str) -> Report {
    let room = pair.room();
    let disk = Disk::make(&room.folder("before")).expect("the test has made one already");
    pair.fill(disk.path());
    rustix::fs::syncfs(fs::File::open(disk.path()).unwrap()).unwrap();
    let (told, met) = crash(pair, &room, disk.path(), fault, n, name);
    let cut = disk.after_power_cut(&room.folder("after-cut"));
    let defects = defects_after(pair, &room, cut.path(), &[Stored { name, told }]);
    Report { met, defects, acknowledged: told == Told::Kept }
}

#[test]
fn a_power_cut_at_any_call_loses_nothing_that_was_acknowledged() {
    let Some(shim) = Shim::compile() else { return };
    if Disk::make(tempfile::tempdir().unwrap().path()).is_none() {
        return;
    }
    for name in [NEW, REPLACED] {
        let what = format!("power cut, {name}");
        // Also a flush that fails and is not made up for: an acknowledgement after it would be a lie.
        let faults = [&DEADLY[..], &[Fault::Once(Errno::IO)]].concat();
        sweep(&shim, &what, &faults, |pair, fault, n| power_cut_at_a_keeper(pair, fault, n, name));
    }
}
