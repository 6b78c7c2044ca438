//! A peer as containers and service managers have it: process 1, neighbours by name, word of being ready, an image.

mod common;

use common::{Lab, Peer, SOON, eventually, is_root, program, through};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Exit code of a script that finds no Docker engine here.
const NO_ENGINE: i32 = 77;

/// A peer without a number, alone or joining. Its commands' folder is its own.
fn peer(dir: &Path, listen: &str, words: &[&str]) -> Command {
    let mut command = program();
    command.args(["join", "--kademlia", "--listen", listen]).args(words).current_dir(dir);
    command.env("XDG_RUNTIME_DIR", dir);
    command
}

fn ask(dir: &Path, words: &[&str]) -> (bool, String) {
    let output = program().args(words).env("XDG_RUNTIME_DIR", dir).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

fn listens(peer: &Peer) {
    peer.wait_until(SOON, "Listening at", |line| line.text.starts_with("Listening at "));
}

/// The only child of a process that has one.
fn child_of(parent: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

#[test]
fn sigterm_is_a_polite_end_even_for_process_1() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    let dirs = ["first", "second"].map(|name| lab.folder(name));
    let place = format!("127.0.0.1:{}", lab.base_port);
    let first = Peer::spawn(0, lab.base_port, &dirs[0], peer(&dirs[0], &place, &[]));
    listens(&first);
    let inner = peer(&dirs[1], "127.0.0.1:0", &["--remote", &place]);
    let mut command = through("unshare", &["--pid", "--fork", "--kill-child"], inner);
    command.current_dir(&dirs[1]);
    let second = Peer::spawn(1, 0, &dirs[1], command);
    eventually(SOON, "they know each other", || ask(&dirs[0], &["peers"]).1.contains("1 contact").then_some(()));
    let process_1 = eventually(SOON, "it runs", || child_of(second.pid()));
    kill_process(process_1, Signal::TERM).unwrap();
    assert!(second.exit(Duration::from_secs(10)).success(), "{:?}", second.transcript());
    eventually(SOON, "it was said goodbye", || ask(&dirs[0], &["peers"]).1.contains("0 contacts").then_some(()));
}

#[test]
fn sigterm_ends_process_1_while_it_still_looks_for_a_name() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    let dir = lab.folder("alone");
    let inner = peer(&dir, "127.0.0.1:0", &["--remote", "nobody.invalid"]);
    let mut command = through("unshare", &["--pid", "--fork", "--kill-child"], inner);
    command.current_dir(&dir);
    let alone = Peer::spawn(0, 0, &dir, command);
    let process_1 = eventually(SOON, "it runs", || child_of(alone.pid()));
    // Its store is opened after the name: what it has caught by then is seen in what the kernel says of it.
    let catches = || {
        let status = fs::read_to_string(format!("/proc/{}/status", process_1.as_raw_nonzero())).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
        (mask & 1 << (Signal::TERM.as_raw() - 1) != 0).then_some(())
    };
    eventually(SOON, "it catches the signal", catches);
    kill_process(process_1, Signal::TERM).unwrap();
    assert!(alone.exit(SOON).success());
}

#[test]
fn a_service_manager_hears_when_the_peer_is_a_member_and_when_it_goes() {
    let lab = Lab::new();
    let dirs = ["first", "second"].map(|name| lab.folder(name));
    let socket = lab.dir.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let heard = || {
        let mut buffer = [0; 100];
        let len = manager.recv(&mut buffer).expect("the manager is told in time");
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    };
    let place = format!("127.0.0.1:{}", lab.base_port);
    let mut command = peer(&dirs[1], "127.0.0.1:0", &["--remote", &place]);
    command.env("NOTIFY_SOCKET", &socket);
    // Nobody is there yet: it knocks, and is not ready.
    let second = Peer::spawn(1, 0, &dirs[1], command);
    listens(&second);
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 100]).is_err(), "it is no member of anything yet");
    manager.set_nonblocking(false).unwrap();
    let first = Peer::spawn(0, lab.base_port, &dirs[0], peer(&dirs[0], &place, &[]));
    assert_eq!(heard(), "READY=1\n");
    second.signal(Signal::TERM);
    assert_eq!(heard(), "STOPPING=1\n");
    assert!(second.exit(SOON).success());
    drop(first);
}

/// The name of a host leads elsewhere when it has come back: here by another file of names, which only these peers see.
#[test]
fn a_neighbour_that_came_back_at_another_address_is_found_by_its_name() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    let dirs = ["first", "second", "third"].map(|name| lab.folder(name));
    let hosts = lab.dir.path().join("hosts");
    let say = |ip: &str| fs::write(&hosts, format!("{ip} seed.test\n")).unwrap();
    let at = |ip: &str| format!("{ip}:{}", lab.base_port);
    let alone = |dir: &Path, ip: &str| {
        let peer = Peer::spawn(0, lab.base_port, dir, peer(dir, &at(ip), &[]));
        listens(&peer);
        peer
    };
    say("127.0.0.2");
    let first = alone(&dirs[0], "127.0.0.2");
    let inner = peer(&dirs[1], &at("127.0.0.4"), &["--remote", &format!("seed.test:{}", lab.base_port)]);
    let bind = format!("mount --bind '{}' /etc/hosts && exec \"$@\"", hosts.display());
    let mut command = through("unshare", &["--mount", "sh", "-c", &bind, "sh"], inner);
    command.current_dir(&dirs[1]);
    let _second = Peer::spawn(1, lab.base_port, &dirs[1], command);
    let knows = |dir: &Path, ip: &str| ask(dir, &["peers"]).1.contains(&at(ip)).then_some(());
    eventually(SOON, "it joined by name", || knows(&dirs[1], "127.0.0.2"));

    first.kill();
    // It has forgotten everything, so it can only be found.
    let _third = alone(&dirs[2], "127.0.0.3");
    say("127.0.0.3");
    eventually(Duration::from_secs(90), "it is found where its name leads", || knows(&dirs[1], "127.0.0.3"));
    eventually(SOON, "it hears of who found it", || knows(&dirs[2], "127.0.0.4"));
}

/// Where the binary for images lies that the Dockerfile takes.
const STATIC: [&str; 4] = ["build", "--release", "--target", "x86_64-unknown-linux-musl"];

#[test]
#[ignore = "nightly: builds an image, and runs three containers"]
fn containers_find_one_another_by_name_and_serve_on_when_one_is_cut_off() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built =
        Command::new(env!("CARGO")).args(STATIC).current_dir(root).env("CC_x86_64_unknown_linux_musl", "gcc").output();
    if !built.as_ref().is_ok_and(|built| built.status.success()) {
        return eprintln!("skipped: no static binary (rustup target add x86_64-unknown-linux-musl): {built:?}");
    }
    let script = |name: &str| root.join("tests/containers").join(name);
    let ended = Command::new(script("engine.sh")).arg(script("run.sh")).arg(root).output().unwrap();
    let text = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    eprintln!("{text}");
    let code = ended.status.code();
    assert!(code == Some(0) || code == Some(NO_ENGINE), "{code:?}");
}
