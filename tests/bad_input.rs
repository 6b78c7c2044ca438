//! Bad input, and what it gets: one plain line, and a peer that answers the next command.

mod common;

use common::{Lab, Peer, Ring, SOON, Stream, eventually, noise, program};
use rustix::process::Signal;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const WORDS: &str = "The words are: Store FILE, Request NAME, rm NAME, ls, check NAME, history NAME, set KEY VALUE, get KEY, \
                     find NAME, status, ring, peers, ping PEER, watch, clear, help, Quit";

/// Types a line and returns the one line that answers it. Then the peer answers another one.
fn answer(peer: &Peer, typed: &[u8]) -> String {
    assert_eq!(peer.told(), [""; 0], "before {:?}", String::from_utf8_lossy(typed));
    peer.type_bytes(typed);
    peer.type_bytes(b"\n");
    peer.type_line("next?");
    // Nonsense is answered while a command is still under way.
    eventually(SOON, "two answers", || (peer.told().len() >= 2).then_some(()));
    let mut told = peer.told();
    let next = told.iter().rposition(|told| told == WORDS).expect("the next line is answered");
    told.remove(next);
    let aside: Vec<String> =
        peer.lines().into_iter().filter(|line| line.stream == Stream::Err).map(|line| line.text).collect();
    assert!(aside.is_empty(), "{typed:?}: {aside:?}");
    let [answer] = &told[..] else { panic!("{:?}: {told:?}", String::from_utf8_lossy(typed)) };
    peer.mark();
    answer.clone()
}

/// A peer alone, which answers.
fn alone(lab: &Lab) -> Peer {
    let peer = lab.start("init 8");
    answers(&peer);
    peer
}

fn answers(peer: &Peer) {
    peer.mark();
    peer.type_line("anybody?");
    peer.wait_for(WORDS, SOON);
    peer.mark();
}

/// Everything below a folder.
fn everything_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything_in(&entry.path()));
        }
    }
    found.sort();
    found
}

#[test]
fn wrong_command_lines_get_the_usage_and_code_2() {
    for line in [
        "",
        "dance",
        "init",
        "join",
        "join 15 15",
        "join 256 4",
        "init 256",
        "init -1",
        "init two",
        "init 2 4",
        "init 2 256 5",
        "init 2 2 4 15",
        "init 2 4 2 15 16",
        "init 2 5 4 15",
        "init 2 4 5 0",
        "init 2 4 5 soon",
        "init 2 4 5 15 --dance",
    ] {
        let output = program().args(line.split_whitespace()).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {told}");
        assert!(output.stdout.is_empty(), "{line}");
        assert!(told.contains("Usage: p2p"), "{line}: {told}");
        assert!(!told.contains("panicked") && !told.contains('\x1b'), "{line}: {told}");
    }
}

#[test]
fn a_port_in_use_is_told_in_one_line_and_code_7() {
    let lab = Lab::new();
    let first = alone(&lab);
    for line in ["init 8", "init 8 9 14 15", "join 8 2 15"] {
        let second = lab.start_in(&lab.folder("other"), line);
        assert_eq!(second.exit(SOON).code(), Some(7), "{line}");
        let [told] = &second.transcript()[..] else { panic!("{line}: {:?}", second.transcript()) };
        let in_use = format!("Port {} of peer 8 is in use, perhaps by that peer: ", first.addr.port());
        assert!(told.text.starts_with(&in_use), "{line}: {}", told.text);
    }
    answers(&first);
}

#[test]
fn who_belongs_in_another_kind_of_network_is_told_so_in_one_line_and_code_7() {
    let lab = Lab::new();
    let _numbered = alone(&lab);
    let kademlia = lab.start("init 9 --kademlia");
    answers(&kademlia);
    let [ring, free, unused] = [8, 20, 21].map(|number| lab.port(number));
    for (line, why) in [
        (format!("join 127.0.0.1:{free} 127.0.0.1:{ring} 1"), "a ring of numbered peers"),
        (format!("join 20@127.0.0.1:{unused} 8@127.0.0.1:{ring} --kademlia"), "a ring of numbered peers"),
        ("join 20 9 1".to_owned(), "a Kademlia network"),
    ] {
        let line = format!("{line} --base-port {}", lab.base_port);
        let words: Vec<&str> = line.split(' ').collect();
        let joining = Peer::start(20, lab.port(20), &lab.folder("joins"), &words);
        assert_eq!(joining.exit(SOON).code(), Some(7), "{line}");
        let mut told = joining.transcript();
        told.retain(|told| !told.text.starts_with("Listening at "));
        let [told] = &told[..] else { panic!("{line}: {told:?}") };
        assert!(told.text.starts_with("Cannot join: ") && told.text.contains(why), "{line}: {told:?}");
    }
}

#[test]
fn a_store_in_use_by_another_peer_is_told_in_one_line_and_code_1() {
    let lab = Lab::new();
    let first = alone(&lab);
    // The same port number of another address has the same folder.
    let line = format!("init 8@127.0.0.2:{}", first.addr.port());
    let second = lab.start_in(&first.dir, &line);
    assert_eq!(second.exit(SOON).code(), Some(1));
    let told = second.transcript();
    let [line] = &told[..] else { panic!("{told:?}") };
    assert!(line.text.contains("in use by another process"), "{line:?}");
    answers(&first);
}

#[test]
fn joining_nobody_is_told_in_one_line_and_code_4() {
    let lab = Lab::new();
    let peer = lab.start("join 15 4 1");
    assert_eq!(peer.exit(SOON * 3).code(), Some(4));
    let told = peer.transcript();
    let [line] = &told[..] else { panic!("{told:?}") };
    assert!(line.text.starts_with(&format!("Nobody answers at 127.0.0.1:{}", lab.port(4))), "{line:?}");
}

#[test]
fn what_is_no_file_is_told_in_one_line_and_never_waited_for() {
    let lab = Lab::new();
    let peer = alone(&lab);
    fs::create_dir(peer.dir.join("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(peer.dir.join("fifo")).status().unwrap().success());
    fs::write(peer.dir.join("gone"), "").unwrap();
    fs::remove_file(peer.dir.join("gone")).unwrap();
    std::os::unix::fs::symlink("loop", peer.dir.join("loop")).unwrap();
    std::os::unix::fs::symlink("fifo", peer.dir.join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(peer.dir.join("socket")).unwrap();
    for (word, because) in [
        ("missing", "there is no file"),
        ("9999", "there is no file"),
        ("gone", "there is no file"),
        ("nowhere/at/all", "there is no file"),
        ("folder", "is a folder"),
        ("/", "cannot be a path"),
        (".", "cannot be a path"),
        ("..", "cannot be a path"),
        ("folder/..", "cannot be a path"),
        ("/tmp", "is a folder"),
        ("fifo", "is not a regular file"),
        ("link", "is not a regular file"),
        ("socket", "is not a regular file"),
        ("loop", "cannot be read"),
        ("/dev/zero", "is not a regular file"),
        ("/dev/tty", "is not a regular file"),
        ("/dev/null", "is not a regular file"),
        ("/proc/self/mem", ""),
    ] {
        let told = answer(&peer, format!("Store {word}").as_bytes());
        assert!(told.contains(because), "{word}: {told}");
    }
    assert!(everything_in(&peer.dir.join(".p2p")).iter().all(|path| !path.contains("/content/")));
}

#[test]
fn a_used_up_quota_is_told_in_one_line_that_says_what_to_do() {
    let lab = Lab::new();
    let peer = lab.start("init 8 --quota 1K");
    answers(&peer);
    fs::write(peer.dir.join("large"), noise(1025, 1)).unwrap();
    fs::write(peer.dir.join("small"), noise(1024, 2)).unwrap();
    let outcome = |name: &str| {
        peer.type_line(&format!("Store {name}"));
        let accepted = format!("Store {name} request accepted");
        let is_end = |text: &str| text.contains(name) && text != accepted;
        peer.wait_until(SOON, "how it ended", |line| is_end(&line.text)).text
    };
    let told = outcome("large");
    assert!(told.contains("0 bytes of the quota of 1.0 KiB") && told.contains("larger quota"), "{told}");
    let told = outcome("small");
    assert!(!told.contains("quota"), "{told}");
}

#[test]
fn a_store_with_a_damaged_index_is_told_in_one_line_and_left_alone() {
    let lab = Lab::new();
    let dir = lab.folder("8");
    let store = dir.join(".p2p").join(lab.port(8).to_string());
    fs::create_dir_all(&store).unwrap();
    let index = store.join("index.redb");
    fs::write(&index, noise(100_000, 3)).unwrap();
    let peer = lab.start("init 8");
    assert_eq!(peer.exit(SOON).code(), Some(1));
    let told = peer.transcript();
    let [line] = &told[..] else { panic!("{told:?}") };
    assert!(line.text.contains("index.redb is damaged") && line.text.contains("move its folder away"), "{line:?}");
    assert_eq!(fs::read(&index).unwrap(), noise(100_000, 3));
}

#[test]
fn an_unreadable_file_is_told_in_one_line() {
    // Root reads everything: then the peer runs as somebody else.
    let lab = Lab::new();
    let dir = lab.folder("8");
    fs::set_permissions(lab.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(dir.join("secret"), "x").unwrap();
    fs::set_permissions(dir.join("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = program();
    if rustix::process::getuid().is_root() {
        // The program itself may lie where nobody else may go.
        let copy = dir.join("p2p");
        // Written by a process of its own: a handle of ours could be inherited by a peer that another test starts at
        // this moment, and what somebody may write cannot be run.
        assert!(Command::new("cp").arg(command.get_program()).arg(&copy).status().unwrap().success());
        command = Command::new(copy);
        command.uid(65534).gid(65534);
    }
    let base_port = lab.base_port.to_string();
    command.args(["init", "8", "--base-port", &base_port]).current_dir(&dir);
    let peer = Peer::spawn(8, lab.port(8), &dir, command);
    answers(&peer);
    let told = answer(&peer, b"Store secret");
    assert!(told.contains("secret cannot be read: permission denied"), "{told}");
}

#[test]
fn bad_names_are_refused_and_nothing_is_written_outside() {
    let lab = Lab::new();
    let peer = alone(&lab);
    fs::write(lab.dir.path().join("outside"), "outside").unwrap();
    fs::write(peer.dir.join("inside"), "inside").unwrap();
    let ansi = peer.dir.join("clear\x1b[2J");
    fs::write(&ansi, "x").unwrap();
    let before = everything_in(lab.dir.path());
    let long = "x".repeat(256);
    for (typed, because) in [
        (b"Request ../outside".as_slice(), "cannot be a path"),
        (b"Request /etc/passwd", "cannot be a path"),
        (b"Request ..", "cannot be a path"),
        (b"Request .", "cannot be a path"),
        (b"Request a\\b", "cannot be a path"),
        (b"Request a\0b", "control characters"),
        (b"Request a\x1b[2Jb", "control characters"),
        (b"Request a\x07", "control characters"),
        (b"Request a\xc2\x9bb", "control characters"),
        ("Request a\u{202e}fdp.exe".as_bytes(), "control characters"),
        (b"Store clear\x1b[2J", "control characters"),
        (b"Store in\0side", "control characters"),
        (format!("Request {long}").as_bytes(), "at most 255 bytes"),
        (format!("Store {long}").as_bytes(), "at most 255 bytes"),
        (b"Request \xff\xfe", "no text"),
        (b"Store \x9c", "no text"),
    ] {
        let told = answer(&peer, typed);
        assert!(told.contains(because), "{:?}: {told}", String::from_utf8_lossy(typed));
    }
    assert_eq!(everything_in(lab.dir.path()), before);
}

#[test]
fn the_longest_names_work() {
    let mut ring = Ring::empty(Lab::new(), "1");
    ring.start("init 8");
    for (index, name) in
        ["x".repeat(255), "ü".repeat(127), "-rf".into(), "a b  c".into(), "$(id)".into()].iter().enumerate()
    {
        ring.store(8, name, &noise(100, index as u64));
        let source = ring.files.last().unwrap();
        let peer = &ring[8];
        peer.mark();
        peer.type_line(&format!("Request {name}"));
        peer.wait_for(&format!("File {name} received"), SOON);
        let is_copy = |path: &Path| {
            path.file_name().unwrap().to_str().unwrap().starts_with("received_") && common::same_bytes(path, source)
        };
        assert!(fs::read_dir(&peer.dir).unwrap().flatten().any(|entry| is_copy(&entry.path())), "{name}");
    }
}

#[test]
fn unknown_words_are_answered_with_the_list_and_blank_lines_with_nothing() {
    let lab = Lab::new();
    let peer = alone(&lab);
    for line in ["4103", "Store4103", "\u{1f600}"] {
        assert_eq!(answer(&peer, line.as_bytes()), WORDS);
    }
    assert_eq!(answer(&peer, b"Stor 4103"), "there is no word Stor: did you mean Store?");
    assert_eq!(answer(&peer, b"quit now"), "Quit stands alone: leave out what is behind it");
    assert!(
        answer(&peer, b"Request x --frobnicate").starts_with("Request has no option --frobnicate, only --output and")
    );
    assert_eq!(answer(&peer, b"Store"), "Store needs the name of a file: Store 4103");
    assert_eq!(answer(&peer, b" request "), "Request needs the name of a file: Request 4103");
    assert_eq!(answer(&peer, b"\xff\xfe\x80"), "That line is no text");
    assert_eq!(answer(&peer, &[b'x'; 1 << 20]), "That line is no text");
    assert_eq!(answer(&peer, b"\n \t \n\r\n\nREQUEST"), "Request needs the name of a file: Request 4103");
}

#[test]
fn the_end_of_input_keeps_the_peer_serving() {
    let lab = Lab::new();
    let (first, second) = (lab.start("init 2 8 2 1"), lab.start("init 8 2 8 1"));
    first.close_input();
    second.wait_for("Ping response received from Peer 2", SOON);
    second.mark();
    second.wait_for("Ping response received from Peer 2", SOON);
    second.type_line("Request 4103");
    second.wait_until(SOON, "an answer", |line| line.text.starts_with("File 4103 was not found"));
    first.signal(Signal::TERM);
    assert_eq!(first.exit(SOON).code(), Some(0));
    second.wait_for("Peer 2 will depart from the network", SOON);
}

#[test]
fn a_last_line_without_newline_counts() {
    let lab = Lab::new();
    let peer = alone(&lab);
    peer.type_bytes(b"quit");
    peer.close_input();
    assert_eq!(peer.exit(SOON).code(), Some(0));
}

#[test]
fn a_peer_started_with_dev_null_serves_until_it_is_ended() {
    let lab = Lab::new();
    let mut command = program();
    let base_port = lab.base_port.to_string();
    command.args(["init", "2", "8", "2", "1", "--base-port", &base_port]).current_dir(lab.folder("2"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut silent = command.spawn().unwrap();
    let other = lab.start("init 8 2 8 1");
    for _ in 0..3 {
        other.mark();
        other.wait_for("Ping response received from Peer 2", SOON);
    }
    let _ = silent.kill();
    let _ = silent.wait();
    other.wait_for("Peer 2 is no longer alive", SOON);
}

#[test]
fn a_broken_output_pipe_does_not_end_the_peer() {
    let lab = Lab::new();
    let mut command = program();
    let base_port = lab.base_port.to_string();
    command.args(["init", "2", "8", "2", "0.2", "--base-port", &base_port]).current_dir(lab.folder("2"));
    let mut mute = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let other = lab.start("init 8 2 8 0.2");
    other.wait_for("Ping response received from Peer 2", SOON);
    // One byte proves that it prints; then nobody reads any more.
    mute.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    drop(mute.stderr.take());
    for _ in 0..5 {
        other.mark();
        other.wait_for("Ping response received from Peer 2", SOON);
    }
    std::io::Write::write_all(mute.stdin.as_mut().unwrap(), b"Quit\n").unwrap();
    let ended = eventually(SOON, "it quits", || mute.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    other.wait_for("Peer 2 will depart from the network", SOON);
}

#[test]
fn an_output_pipe_that_nobody_reads_does_not_stop_the_peer() {
    let lab = Lab::new();
    let mut command = program();
    let base_port = lab.base_port.to_string();
    command.args(["init", "2", "8", "2", "0.01", "--base-port", &base_port]).current_dir(lab.folder("2"));
    let mut stuck = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let other = lab.start("init 8 2 8 0.01");
    // 64 KiB of pipe hold the lines of about 600 rounds: what it sent, was sent, and was answered.
    let answered = || other.lines().iter().filter(|line| line.text == "Ping response received from Peer 2").count();
    eventually(SOON * 8, "900 pings are answered", || (answered() > 900).then_some(()));
    other.told().iter().for_each(|told| assert!(!told.contains("no longer alive")));
    std::io::Write::write_all(stuck.stdin.as_mut().unwrap(), b"Quit\n").unwrap();
    let ended = eventually(SOON, "it quits though its last words find no reader", || stuck.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
}

/// A file that is no text: it broke the program that this one continues.
#[test]
fn any_bytes_arrive_as_they_were() {
    let mut ring = Ring::empty(Lab::new(), "1");
    ring.start("init 2 8 14 1");
    ring.start("init 8 14 2 1");
    ring.start("init 14 2 8 1");
    ring.settles();
    let mut bad_text = b"%PDF-1.4 ".repeat(20);
    bad_text[72] = 0x9c;
    ring.store(2, "0009", &bad_text);
    ring.store(8, "empty", b"");
    ring.store(14, "0200", &noise((3 << 20) + 1, 3));
    ring.store(2, "every byte", &(0..=255).collect::<Vec<u8>>());
    ring.serves_everything();
}
