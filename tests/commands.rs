//! One-shot commands against running peers: what they print where, and the exit code that tells how it went.

mod common;

use common::network::{Network, objects};
use common::{SOON, eventually, noise};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[test]
fn a_file_goes_in_at_one_peer_and_comes_out_at_another() {
    let network = Network::three();
    let bytes = noise(200_000, 1);
    network.write("report.pdf", &bytes);
    let [stored] = &network.p2p(&["store", "report.pdf"]).with(0)[..] else { panic!() };
    assert!(stored.starts_with("stored report.pdf   place ") && stored.contains("   3 of 3   blake3 "), "{stored}");

    network.p2p(&["request", "report.pdf", "--peer", "5"]).with(0);
    assert_eq!(network.read("received_report.pdf"), bytes);
    network.p2p(&["request", "report.pdf", "-o", "copy.pdf", "--peer", "2"]).with(0);
    assert_eq!(network.read("copy.pdf"), bytes);
    let folder = network.here.join("folder");
    fs::create_dir(&folder).unwrap();
    network.p2p(&["request", "report.pdf", "-o", "folder"]).with(0);
    assert_eq!(network.read("folder/report.pdf"), bytes);

    let [file, sum] = &network.p2p(&["ls"]).with(0)[..] else { panic!() };
    assert!(file.starts_with("report.pdf") && file.contains("200.0 kB  version 1  at Peers "), "{file}");
    assert_eq!(sum, "1 file (3 peers asked)");
    let lines = network.p2p(&["check", "report.pdf"]).with(0);
    assert_eq!(lines.last().unwrap(), "3 of 3 copies good");
    assert_eq!(lines.iter().filter(|line| line.ends_with("complete, verified")).count(), 3, "{lines:?}");
    network.is_clean();
}

#[test]
fn standard_input_is_stored_and_standard_output_has_the_bytes_alone() {
    let network = Network::three();
    let stored = network.run(network.command(&["store", "-", "--name", "words"]), Some(b"a few words\n"));
    assert!(stored.with(0)[0].starts_with("stored words   place "));
    let got = network.p2p(&["request", "words", "-o", "-"]);
    assert_eq!((got.code, got.out.as_str()), (0, "a few words\n"));
    assert!(got.err.starts_with("fetched words   12 B   from peer "), "{}", got.err);
    network.is_clean();
}

#[test]
fn many_files_go_in_and_come_out_with_one_command_each() {
    let network = Network::three();
    let names: Vec<String> = (0..40).map(|at| format!("{at}.jpg")).collect();
    let words: Vec<&str> = names.iter().map(String::as_str).collect();
    for (at, name) in names.iter().enumerate() {
        network.write(name, &noise(1000 * at, at as u64));
    }
    let stored = network.p2p(&[&["store"], &words[..]].concat()).with(0);
    assert_eq!(stored.iter().filter(|line| line.starts_with("stored ") && line.contains("   3 of 3   ")).count(), 40);
    fs::create_dir(network.here.join("photos")).unwrap();
    let got = network.p2p(&[&["request", "-o", "photos", "--peer", "5"], &words[..]].concat()).with(0);
    assert_eq!(got.iter().filter(|line| line.starts_with("fetched ")).count(), 40, "{got:?}");
    for name in &names {
        assert_eq!(network.read(&format!("photos/{name}")), network.read(name), "{name}");
    }

    // One that is not there keeps the others from nothing, and decides how it ends.
    let got = network.p2p(&["request", "1.jpg", "absent.jpg", "2.jpg"]);
    assert_eq!((got.code, got.out.lines().count()), (3, 2), "{}", got.err);
    assert!(got.err.contains("absent.jpg") && got.err.ends_with("1 of 3 files failed\n"), "{}", got.err);
    let got = network.p2p(&["request", "1.jpg", "absent.jpg", "--json"]);
    let lines: Vec<String> = got.out.lines().map(str::to_owned).collect();
    let codes: Vec<String> = objects(&lines).iter().map(|object| object["event"].to_string()).collect();
    assert_eq!(codes.iter().filter(|event| *event == "\"error\"").count(), 2, "{codes:?}");
    assert_eq!(got.code, 3);

    for words in [
        &["store", "1.jpg", "2.jpg", "--name", "both"][..],
        &["store", "1.jpg", "-", "--name", "both"],
        &["store", "1.jpg", "photos/1.jpg"],
        &["request", "1.jpg", "1.jpg"],
        &["request", "1.jpg", "2.jpg", "-o", "-"],
        &["request", "1.jpg", "2.jpg", "-o", "absent"],
        &["request", "1.jpg", "2.jpg", "--version", "1"],
    ] {
        assert_eq!(network.p2p(words).code, 2, "{words:?}");
    }
    network.is_clean();
}

/// A command whose standard output or error is a disk that is full.
fn to_a_full_disk(network: &Network, words: &[&str], out: bool) -> (Option<i32>, String) {
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = network.command(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match out {
        true => command.stdout(full()),
        false => command.stderr(full()),
    };
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(if out { output.stderr } else { output.stdout }).unwrap())
}

#[test]
fn what_cannot_be_said_on_standard_error_is_not_missed() {
    let network = Network::three();
    network.store("words", b"a few words\n");
    let ended = |words: &[&str]| to_a_full_disk(&network, words, false);
    assert_eq!(ended(&["request", "nofile"]), (Some(3), String::new()));
    assert_eq!(ended(&["request", "words", "-o", "-"]), (Some(0), "a few words\n".to_owned()));
    assert_eq!(ended(&["ls", "--peer", "99"]), (Some(4), String::new()));
    assert_eq!(ended(&["dance"]), (Some(2), String::new()));
    assert_eq!(ended(&["init", "2", "--base-port", &network.ring.lab.base_port.to_string()]).0, Some(7));
}

#[test]
fn results_that_could_not_be_written_are_no_success() {
    let network = Network::three();
    network.store("words", b"a few words\n");
    network.write("table.csv", b"x,y\n1,2\n2,3\n");
    for words in [
        &["ls"][..],
        &["ls", "--json"],
        &["request", "words", "-o", "-"],
        &["watch", "--since", "0"],
        &["config", "show"],
        &["completions", "bash"],
        &["man"],
        &["doctor", "--json"],
        &["sim", "--peers", "8", "--minutes", "1"],
        &["plot", "table.csv"],
        &["--help"],
        &["ls", "--help"],
    ] {
        let (code, told) = to_a_full_disk(&network, words, true);
        assert_eq!(code, Some(1), "{words:?}: {told}");
        assert!(told.contains("No space left on device"), "{words:?}: {told}");
        assert!(!told.contains("panicked"), "{words:?}: {told}");
    }
    // Whoever reads only the beginning has what was wanted.
    let mut command = network.command(&["completions", "bash"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn typed_words_take_the_options_and_quotes_of_the_commands() {
    let network = Network::three();
    let peer = &network.ring[4];
    fs::write(peer.dir.join("hello world.txt"), "first").unwrap();
    fs::create_dir(peer.dir.join("folder")).unwrap();
    let says = |line: &str, begins: &str| {
        peer.mark();
        peer.type_line(line);
        peer.wait_until(SOON, begins, |line| line.text.starts_with(begins));
    };
    says("Store \"hello world.txt\"", "Stored hello world.txt: 3 copies");
    fs::write(peer.dir.join("hello world.txt"), "second").unwrap();
    says(r"Store hello\ world.txt", "Stored hello world.txt: 3 copies");
    says("check hello world.txt --repair", "3 of 3 copies good");
    says("find --as kademlia hello world.txt", "hello world.txt → ");
    for (line, path, text) in [
        ("Request hello world.txt -o copy.txt", "copy.txt", "second"),
        ("Request --version 1 'hello world.txt'", "received_hello world.txt", "first"),
        ("Request hello world.txt --version 1 -o folder", "folder/hello world.txt", "first"),
    ] {
        says(line, "File hello world.txt received");
        assert_eq!(fs::read_to_string(peer.dir.join(path)).unwrap(), text, "{line}");
    }
    says("Request hello world.txt --version 7", "File hello world.txt was not found");
}

#[test]
fn a_typed_repair_does_not_advise_itself() {
    let network = Network::three();
    let peer = &network.ring[4];
    network.store("report.pdf", &noise(100_000, 3));
    network.damage(5, 100_000);
    let says = |line: &str, text: &str| {
        peer.mark();
        peer.type_line(line);
        peer.wait_for(text, SOON);
    };
    says("check report.pdf --repair", "2 of 3 copies good; the others are being made");
    eventually(SOON, "it is good again", || (network.p2p(&["check", "report.pdf"]).code == 0).then_some(()));
}

#[test]
fn names_may_have_blanks_letters_of_any_script_and_a_dash_before_them() {
    let network = Network::three();
    for name in ["my long name.pdf", "Übung 3 – Lösung.pdf", "-dash", "--json", "4103"] {
        network.write(name, name.as_bytes());
        let stored = network.p2p(&["store", "--", name]).with(0);
        assert!(stored[0].starts_with(&format!("stored {name}   ")), "{stored:?}");
        network.p2p(&["request", "-o", "got", "--", name]).with(0);
        assert_eq!(network.read("got"), name.as_bytes());
        network.p2p(&["check", "--", name]).with(0);
    }
    network.p2p(&["request", "4103"]).with(0);
    assert_eq!(network.read("received_4103.pdf"), b"4103");
    let listed = network.p2p(&["ls"]).with(0);
    assert_eq!(listed.len(), 6, "{listed:?}");
}

#[test]
fn versions_follow_each_other_and_what_is_removed_stays_removed_until_it_is_stored_again() {
    let network = Network::three();
    network.store("log", b"first");
    network.store("log", b"second");
    let text = |words: &[&str]| {
        let ended = network.p2p(&[&["request", "log", "-o", "-"], words].concat());
        (ended.code, ended.out)
    };
    assert_eq!(text(&[]), (0, "second".to_owned()));
    assert_eq!(text(&["--version", "1"]), (0, "first".to_owned()));
    let later = network.p2p(&["request", "log", "-o", "-", "--version", "7"]);
    later.failed(3, "there is no such version of it; the latest is 2");
    let history = network.p2p(&["history", "log"]).with(0);
    assert!(history[0].starts_with("version 2  6 B  blake3 ") && history[0].ends_with("follows version 1: proven"));
    assert!(history[1].starts_with("version 1  5 B  blake3 ") && history[1].ends_with("the first"), "{history:?}");

    assert_eq!(network.p2p(&["rm", "log"]).with(0), ["removed log   3 of 3 peers know"]);
    network.p2p(&["request", "log"]).failed(3, "it was removed");
    network.p2p(&["check", "log"]).failed(3, "it was removed");
    assert_eq!(network.p2p(&["ls"]).with(0), ["0 files (3 peers asked)"]);
    network.store("log", b"third");
    assert_eq!(text(&[]), (0, "third".to_owned()));
}

#[test]
fn a_sealed_file_opens_for_its_key_alone() {
    let network = Network::three();
    let bytes = noise(150_000, 2);
    network.write("diary.txt", &bytes);
    network.write("pass", "correct horse\n".as_bytes());
    network.write("wrong", "incorrect horse\n".as_bytes());
    network.p2p(&["store", "diary.txt", "--encrypt", "--passphrase-file", "pass"]).with(0);
    network.p2p(&["request", "diary.txt", "-o", "got", "--passphrase-file", "pass", "--decrypt"]).with(0);
    assert_eq!(network.read("got"), bytes);
    network
        .p2p(&["request", "diary.txt", "-o", "not", "--passphrase-file", "wrong"])
        .failed(7, "the passphrase is not the one");
    assert!(!network.here.join("not").exists());

    let sealed = network.p2p(&["request", "diary.txt", "-o", "sealed"]);
    assert_eq!(sealed.code, 0);
    assert!(sealed.err.contains("diary.txt is sealed"), "{}", sealed.err);
    assert!(network.read("sealed").starts_with(b"p2p sealed"));
    network.p2p(&["request", "diary.txt", "--decrypt", "-o", "not"]).failed(2, "no terminal to ask for a passphrase");
    network.is_clean();
}

#[test]
fn a_hidden_name_is_found_by_its_key_alone() {
    let network = Network::three();
    network.p2p(&["seal-key", "my.key"]).with(0);
    network.p2p(&["seal-key", "my.key"]).failed(1, "is there already");
    let words = ["store", "-", "--name", "plan b", "--encrypt", "--key-file", "my.key", "--hide-name"];
    let stored = network.run(network.command(&words), Some(b"run")).with(0);
    assert!(stored[0].starts_with("stored sealed-"), "{stored:?}");
    network.p2p(&["request", "plan b"]).failed(3, "nobody has heard of it");
    network.p2p(&["request", "plan b", "--key-file", "my.key", "--hide-name"]).with(0);
    assert_eq!(network.read("received_plan b"), b"run");
    // Whatever is asked about it by its own name.
    let by_key = ["plan b", "--hide-name", "--key-file", "my.key"];
    let of = |word: &'static str| network.p2p(&[&[word], &by_key[..]].concat());
    assert!(of("history").with(0)[0].starts_with("version 1 "));
    assert!(of("check").with(0).last().unwrap().starts_with("3 of 3 copies good"));
    assert!(of("find").with(0)[0].starts_with("sealed-"));
    assert!(of("rm").with(0)[0].starts_with("removed sealed-"));
    of("request").failed(3, "was removed");
    network.p2p(&["rm", "plan b", "--key-file", "my.key"]).failed(2, "say --hide-name too");
    network.store("open", b"not sealed");
    network.p2p(&["request", "open", "--key-file", "my.key", "-o", "open"]).with(0);
    assert_eq!(network.read("open"), b"not sealed");
    network.p2p(&["request", "open", "--key-file", "my.key", "--decrypt"]).failed(1, "the file is not sealed");
    network.is_clean();
}

#[test]
fn a_damaged_copy_is_found_and_repaired() {
    let network = Network::three();
    network.store("report.pdf", &noise(100_000, 3));
    network.damage(5, 100_000);

    let lines = network.p2p(&["check", "report.pdf"]).with(5);
    assert!(lines.iter().any(|line| line.starts_with("Peer 5  version 1  damaged: 1 of ")), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "2 of 3 copies good; to make more: check report.pdf --repair");
    let repaired = network.p2p(&["check", "report.pdf", "--repair"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    assert!(repaired.out.ends_with("3 of 3 copies good\n"), "{repaired:?}");
    network.p2p(&["check", "report.pdf"]).with(0);
}

#[test]
fn a_file_of_which_only_damaged_bytes_are_left_is_not_brought() {
    let mut network = Network::empty();
    network.start("init 4");
    network.found(1);
    network.store("report.pdf", &noise(100_000, 4));
    network.damage(4, 100_000);
    network.p2p(&["request", "report.pdf"]).failed(5, "it is held, but damaged");
    assert!(!network.here.join("received_report.pdf").exists());
    network.is_clean();
}

#[test]
fn copies_that_are_all_damaged_make_a_whole_one_and_no_look_destroys_what_is_left() {
    let network = Network::three();
    let bytes = noise(6_100_000, 4);
    network.store("report.pdf", &bytes);
    // Each in another chunk.
    for (number, at) in [(2, 70_000), (4, 2_000_000), (5, 6_000_000)] {
        network.damage_at(number, 6_100_000, at);
    }
    network.p2p(&["check", "report.pdf"]).with(5);
    let ended = network.p2p(&["request", "report.pdf", "-o", "copy"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(network.read("copy") == bytes);
    // A second look may be needed, which it says.
    let repaired = network.p2p(&["check", "report.pdf", "--repair"]);
    assert!(repaired.code == 0 && repaired.out.ends_with("3 of 3 copies good\n"), "{repaired:?}");

    // All in the same one: it stays known, and known to be damaged.
    for number in [2, 4, 5] {
        network.damage_at(number, 6_100_000, 3_000_000);
    }
    for _ in 0..2 {
        let checked = network.p2p(&["check", "report.pdf"]);
        assert_eq!((checked.code, checked.err.as_str()), (5, ""), "{checked:?}");
        assert!(checked.out.contains("0 of 3 copies good"), "{checked:?}");
    }
    network.p2p(&["request", "report.pdf"]).failed(5, "it is held, but damaged");
    assert!(network.p2p(&["ls"]).with(0)[0].contains("report.pdf"));
}

#[test]
fn a_damaged_version_is_repaired_beside_a_good_one_and_by_who_leaves() {
    let mut network = Network::of(&["init 2 4 2 1", "init 4 2 4 1"]);
    network.store("report.pdf", &noise(90_000, 1));
    network.store("report.pdf", &noise(100_000, 2));
    network.damage(4, 100_000);
    network.p2p(&["check", "report.pdf"]).with(5);
    let repaired = network.p2p(&["check", "report.pdf", "--repair"]);
    assert!(repaired.code == 0 && repaired.out.ends_with("2 of 2 copies good\n"), "{repaired:?}");

    network.damage(4, 100_000);
    network.p2p(&["check", "report.pdf"]).with(5);
    network.p2p(&["quit", "--peer", "2"]).with(0);
    network.ring.take(2).exit(SOON);
    network.p2p(&["request", "report.pdf", "-o", "copy"]).with(0);
    assert!(network.read("copy") == noise(100_000, 2));
}

#[test]
fn fewer_copies_than_wanted_are_told_apart_from_damage() {
    let network = Network::of(&["init 2 4 5 1", "init 4 5 9 1", "init 5 9 2 1", "init 9 2 4 1"]);
    network.store("4103", b"a few words");
    // Who is stopped keeps its port open, so it keeps its place: nobody else makes its copy meanwhile.
    network.ring[2].signal(Signal::STOP);
    let ended = network.p2p(&["check", "4103", "--peer", "9"]);
    network.ring[2].signal(Signal::CONT);
    assert_eq!((ended.code, ended.err.as_str()), (6, ""), "{}", ended.out);
    assert!(ended.out.ends_with("2 of 3 copies good; to make more: check 4103 --repair\n"), "{}", ended.out);
}

#[test]
fn a_file_whose_holders_are_silent_is_out_of_reach_and_not_gone() {
    let network = Network::of(&["init 2 4 5 1", "init 4 5 9 1", "init 5 9 14 1", "init 9 14 2 1", "init 14 2 4 1"]);
    // Place 4 of the ring: peers 4, 5 and 9 keep it.
    network.store("4100", b"a few words");
    // Who is stopped keeps its port open, so it keeps its place.
    [4, 5, 9].into_iter().for_each(|keeper| network.ring[keeper].signal(Signal::STOP));
    let words = [["request", "4100"], ["check", "4100"], ["find", "4100"]];
    let ended = words.map(|words| network.p2p(&[&words[..], &["--peer", "14"]].concat()));
    [4, 5, 9].into_iter().for_each(|keeper| network.ring[keeper].signal(Signal::CONT));
    for ended in ended {
        assert!(ended.code == 4 && ended.err.contains("may hold it"), "{ended:?}");
    }
    // Who was stopped takes a moment to be heard again.
    let came = || (network.p2p(&["request", "4100", "--peer", "14"]).code == 0).then_some(());
    eventually(SOON, "it is within reach again", came);
}

#[test]
fn values_are_set_and_got() {
    let network = Network::three();
    assert_eq!(network.p2p(&["set", "motto", "carry on"]).with(0), ["motto is set   kept by 3 peers"]);
    assert_eq!(network.p2p(&["get", "motto", "--peer", "2"]).with(0), ["carry on"]);
    network.p2p(&["get", "nothing"]).failed(3, "nothing is not set");
    network.p2p(&["set", "long", &"x".repeat(1001)]).failed(7, "a value has at most 1000 bytes");
}

#[test]
fn for_programs_there_is_an_object_on_each_line_and_one_at_the_end() {
    let network = Network::three();
    network.write("a.txt", b"abc");
    let stored = objects(&network.p2p(&["store", "a.txt", "--json"]).with(0));
    let [.., stored, done] = &stored[..] else { panic!() };
    assert_eq!(
        (&stored["event"], &stored["file"]["bytes"], &stored["wanted"]),
        (&"file.stored".into(), &3.into(), &3.into())
    );
    assert_eq!(*done, serde_json::json!({ "event": "done", "outcome": "good" }));
    let fetched = objects(&network.p2p(&["request", "a.txt", "--json", "-o", "b.txt"]).with(0));
    let [.., fetched, _] = &fetched[..] else { panic!() };
    let path = network.here.join("b.txt");
    assert_eq!((&fetched["event"], fetched["path"].as_str()), (&"file.fetched".into(), path.to_str()));
    let listed = objects(&network.p2p(&["ls", "--json"]).with(0));
    let events: Vec<&str> = listed.iter().map(|object| object["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["file", "files", "done"]);
    let missing = objects(&network.p2p(&["request", "nowhere", "--json"]).with(3));
    assert_eq!(missing.last().unwrap()["code"], "not_found");
    let nobody = objects(&network.p2p(&["ls", "--json", "--peer", "77"]).with(4));
    assert_eq!(nobody[0]["code"], "no_peer");
}

#[test]
fn what_can_be_noticed_before_is_noticed_before() {
    let network = Network::empty();
    network.p2p(&["ls"]).failed(4, "no peer runs on this machine");
    network.p2p(&["store", "missing"]).failed(1, "there is no file missing");
    network.p2p(&["store", "."]).failed(1, "is a folder");
    network.write("here", b"here");
    for words in [
        &["request"][..],
        &["rm"],
        &["check"],
        &["history"],
        &["find"],
        &["store", "here", "--name"],
        &["store", "missing", "--name"],
    ] {
        let with = |name: &str| network.p2p(&[words, &[name]].concat());
        with("a/b").failed(2, "a file name cannot be a path");
        with("").failed(2, "a file name cannot be empty");
        with(&"x".repeat(256)).failed(2, "at most 255 bytes");
    }
    for words in [&["get", ""][..], &["set", "", "x"]] {
        network.p2p(words).failed(2, "a key has at least one letter");
    }
    network.p2p(&["ping", ""]).failed(2, "a peer has a number, an id or HOST:PORT");
    network.p2p(&["ping", "localhost:0"]).failed(2, "a port from 1 to 65535");
    network.p2p(&["ping", "localhost:many"]).failed(2, "no such HOST:PORT");
    network.p2p(&["ping", "nosuch.invalid:12"]).failed(4, "no such HOST:PORT");
    network.p2p(&["watch", "peer.dances"]).failed(2, "nothing that happens is called peer.dances");
    network.p2p(&["request", "a", "-o", "no/such/folder"]).failed(1, "cannot write in");
    network.p2p(&["request", "a", "-o", "/dev/null"]).failed(1, "is there, and no file");
    network.p2p(&["request", "a", "--key-file", "missing"]).failed(1, "missing");
    network.p2p(&["stor", "a"]).failed(2, "store");
    network.is_clean();
}

#[test]
fn of_several_peers_one_must_be_named_and_an_only_one_need_not_be() {
    let mut network = Network::three();
    let unnamed = |network: &Network, words: &[&str]| {
        let mut command = network.command(words);
        // An empty variable is an unset one.
        command.env("P2P_PEER", "");
        network.run(command, None)
    };
    let several = unnamed(&network, &["status"]);
    assert_eq!((several.code, several.out.as_str()), (4, ""));
    let lines: Vec<&str> = several.err.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].contains("--peer") && lines[1].starts_with("  peer 2  ring  127.0.0.1:"), "{lines:?}");
    for who in [network.ring.lab.port(5).to_string(), network.ring[5].addr.to_string(), "5".to_owned()] {
        assert!(unnamed(&network, &["status", "--peer", &who]).with(0)[0].starts_with("peer 5  ring  "));
    }
    unnamed(&network, &["status", "--peer", "9"]).failed(4, "no peer 9 runs");

    // Killed: their plates stay, and are removed by whoever sees them.
    [2, 5].into_iter().for_each(|number| network.ring.take(number).kill());
    assert!(unnamed(&network, &["status"]).with(0)[0].starts_with("peer 4  ring  "));
    assert_eq!(fs::read_dir(network.runtime.join("p2p")).unwrap().count(), 2);
    assert_eq!(unnamed(&network, &["quit"]).with(0), ["peer 4 has left"]);
    assert!(network.ring[4].exit(SOON).success());
    unnamed(&network, &["status"]).failed(4, "no peer runs on this machine");
    assert_eq!(fs::read_dir(network.runtime.join("p2p")).unwrap().count(), 0);
}

#[test]
fn a_peer_of_a_kademlia_network_takes_the_same_commands() {
    let mut network = Network::empty();
    for line in ["init 2 4 5 1 --kademlia", "init 4 5 2 1 --kademlia", "init 5 2 4 1 --kademlia"] {
        network.start(line);
    }
    network.found(3);
    assert!(network.p2p(&["status"]).with(0)[0].starts_with("peer 4  kademlia  "));
    // Who stores gives copies to those it knows.
    network.knows_all();
    let stored = network.run(network.command(&["store", "-", "--name", "report.pdf"]), Some(b"first")).with(0);
    assert!(stored[0].contains("   3 of 3   "), "{stored:?}");
    network.p2p(&["request", "report.pdf", "--peer", "5", "-o", "got"]).with(0);
    assert_eq!(network.read("got"), b"first");
    network.p2p(&["check", "report.pdf"]).with(0);
}

#[test]
fn a_peer_that_quits_says_goodbye_and_one_that_vanishes_does_not() {
    let mut network = Network::three();
    assert_eq!(network.p2p(&["quit"]).with(0), ["peer 4 has left"]);
    network.ring[5].wait_for("Peer 4 will depart from the network", SOON);
    assert_eq!(network.ring.take(4).exit(SOON).code(), Some(0));
    let gone = network.p2p(&["quit", "--abrupt", "--peer", "5"]);
    assert_eq!(gone.with(0), ["peer 5 is gone, and told nobody"]);
    assert_eq!(network.ring.take(5).exit(SOON).code(), Some(0));
    network.ring[2].wait_for("Peer 5 is no longer alive", SOON);
    assert!(network.ring[2].transcript().iter().all(|line| !line.text.contains("Peer 5 will depart")));
    network.found(1);
}

#[test]
fn a_peer_leaves_soon_though_nobody_takes_what_it_has_and_brings_it_back() {
    let mut network = Network::of(&["init 2 4 5 1", "init 4 5 2 1 --quota 1M", "init 5 2 4 1 --quota 1M"]);
    let bytes = noise(3_000_000, 1);
    for version in [noise(2_000_000, 2), bytes.clone()] {
        let stored = network.run(network.command(&["store", "-", "--name", "large", "--peer", "2"]), Some(&version));
        assert_eq!(stored.code, 6, "{stored:?}");
    }
    network.p2p(&["quit", "--peer", "2"]).with(0);
    let left = network.ring.take(2);
    assert_eq!(left.exit(SOON).code(), Some(0));
    let said = left.transcript().iter().any(|line| line.text.starts_with("Nobody takes 1 file that nobody else has"));
    assert!(said, "{:?}", left.transcript());
    network.start("join 2 4 1");
    let back = || (network.p2p(&["request", "large", "-o", "copy"]).code == 0).then_some(());
    eventually(SOON, "it is back", back);
    assert!(network.read("copy") == bytes);
}

#[test]
fn a_peer_that_does_not_answer_is_given_up_in_time() {
    let network = Network::three();
    network.ring[4].signal(Signal::STOP);
    let ended = network.p2p(&["ls", "--timeout", "0.5"]);
    let requested = network.p2p(&["request", "a", "--timeout", "0.5"]);
    network.ring[4].signal(Signal::CONT);
    ended.failed(124, "not done within 500ms");
    requested.failed(124, "not done within 500ms");
    network.is_clean();
}

#[test]
fn ctrl_c_ends_a_command_and_leaves_nothing_behind() {
    let network = Network::three();
    network.ring[4].signal(Signal::STOP);
    let (mut child, out, _) = network.begin(network.command(&["store", "-", "--name", "a"]), Some(b"abc"));
    eventually(SOON, "it has read its input", || {
        let mut entries = fs::read_dir(&network.passing).unwrap();
        entries.find_map(|entry| fs::metadata(entry.unwrap().path().join("a")).ok())
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = eventually(SOON, "it ends", || child.try_wait().unwrap());
    network.ring[4].signal(Signal::CONT);
    assert_eq!((status.code(), fs::read(out).unwrap()), (Some(130), Vec::new()));
    network.is_clean();
}

/// Peer 4 takes its time with a file of 16 MiB that only one of the others keeps.
struct Slow {
    network: Network,
    name: String,
    bytes: Vec<u8>,
    keeper: u8,
}

impl Slow {
    fn stored() -> Slow {
        let network = Network::of(&[
            "init 2 4 5 1 --replicas 1",
            "init 4 5 2 1 --replicas 1 --limit-down 4M",
            "init 5 2 4 1 --replicas 1",
        ]);
        let bytes = noise(16 << 20, 1);
        for at in 0.. {
            let name = format!("{at}.bin");
            network.write(&name, &bytes);
            let told = network.p2p(&["store", &name, "--peer", "2"]).with(0).remove(0);
            if let Some(keeper) = [2, 5].into_iter().find(|peer| told.contains(&format!("   peer {peer}   "))) {
                return Slow { network, name, bytes, keeper };
            }
        }
        unreachable!("one of three is not always peer 4")
    }

    fn ask(&self) -> Command {
        self.network.command(&["request", &self.name, "-o", "got", "--json"])
    }

    /// How many bytes have come, each time that it was told.
    fn come(out: &Path) -> Vec<u64> {
        let lines: Vec<String> = fs::read_to_string(out).unwrap().lines().map(str::to_owned).collect();
        objects(&lines).iter().filter_map(|object| object["bytes"].as_u64()).collect()
    }

    /// Asks, until more than 2 MiB have come.
    fn begin(&self) -> (Child, PathBuf, u64) {
        let (child, out, err) = self.network.begin(self.ask(), None);
        let enough = |bytes: &u64| *bytes > 2 << 20;
        let before = eventually(SOON, "some of it comes", || Slow::come(&out).last().copied().filter(enough));
        (child, err, before)
    }

    /// Asks again: it does not begin anew.
    fn goes_on(&self, before: u64) {
        // The peer has noticed that nobody waits, and let go of it.
        let kept = self.network.here.join(".p2p-got");
        let part = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path());
        let part = part.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "part")).unwrap();
        eventually(SOON, "the peer stops", || fs::File::open(&part).unwrap().try_lock().ok());
        let (mut child, out, _) = self.network.begin(self.ask(), None);
        let status = eventually(SOON, "it ends", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0));
        assert!(Slow::come(&out)[0] >= before, "{before} bytes were there, and it began with {:?}", Slow::come(&out));
        assert!(self.network.read("got") == self.bytes);
        self.network.is_clean();
    }
}

#[test]
fn a_request_that_was_ended_goes_on_where_it_stopped() {
    let slow = Slow::stored();
    let (mut child, err, before) = slow.begin();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = eventually(SOON, "it ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    assert!(fs::read_to_string(err).unwrap().contains("what has arrived is kept"));
    slow.goes_on(before);
}

#[test]
fn a_request_whose_only_keeper_died_goes_on_when_that_is_back() {
    let mut slow = Slow::stored();
    let (mut child, err, before) = slow.begin();
    let keeper = slow.network.ring.take(slow.keeper);
    keeper.signal(Signal::KILL);
    let status = eventually(SOON * 2, "it ends", || child.try_wait().unwrap());
    assert_ne!(status.code(), Some(0));
    assert!(fs::read_to_string(err).unwrap().contains("what has arrived is kept"));

    drop(keeper);
    slow.network.start(&format!("join {} 4 1 --replicas 1", slow.keeper));
    let there = || (slow.network.p2p(&["check", &slow.name]).code == 0).then_some(());
    eventually(SOON, "the file is found again", there);
    slow.goes_on(before);
}

#[test]
fn a_folder_that_others_could_read_is_not_used() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a folder away");
        return;
    }
    let network = Network::empty();
    let folder = network.runtime.join("p2p");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(65_534), None).unwrap();
    let peer = network.spawn("init 4");
    peer.wait_until(SOON, "why", |line| line.text.contains("belongs to somebody else"));
    network.p2p(&["status"]).failed(4, "belongs to somebody else");
    assert!(!peer.has_ended(), "it runs all the same");
}
