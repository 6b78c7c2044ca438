//! Commands that look at a network or at this machine: what they print where, and the exit code that tells how it went.

mod common;

use common::network::{Network, objects};
use common::{Lab, SOON, eventually, noise, program};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::env;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

/// The demo ring, in which everybody knows everybody.
fn seven() -> Network {
    let lines = ["2 4 5", "4 5 8", "5 8 9", "8 9 14", "9 14 19", "14 19 2", "19 2 4"];
    let lines = lines.map(|line| format!("init {line} 1"));
    let network = Network::of(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for number in network.ring.peers.keys() {
        eventually(SOON, &format!("peer {number} knows six successors"), || {
            let seen = network.p2p(&["ring", "--json", "--peer", &number.to_string()]).with(0);
            let seen = objects(&seen);
            let is_successor = |object: &serde_json::Value| {
                object["roles"].as_array().is_some_and(|roles| roles.iter().any(|role| role["role"] == "successor"))
            };
            (seen.iter().filter(|object| is_successor(object)).count() == 6).then_some(())
        });
    }
    network
}

/// What is in the columns of a table.
fn cells(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Runs the program in a folder, with nothing set but these variables.
fn alone(here: &Path, words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = program();
    command.args(words).current_dir(here).env("XDG_RUNTIME_DIR", here).env("XDG_CONFIG_HOME", here.join("user"));
    command.envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn the_ring_is_shown_clockwise_from_the_peer_that_is_asked() {
    let network = seven();
    let lines = network.p2p(&["ring"]).with(0);
    assert_eq!(cells(&lines[0]), ["peer", "address", "what", "it", "is", "rtt"]);
    let peers: Vec<&str> = lines[1..8].iter().map(|line| cells(line)[0]).collect();
    assert_eq!(peers, ["4", "5", "8", "9", "14", "19", "2"]);
    assert!(lines[1].contains("this peer") && lines[2].contains("successor 1"), "{lines:?}");
    assert!(lines[7].contains("successor 6, predecessor"), "{lines:?}");
    assert!(lines[8].starts_with("6 contacts"), "{lines:?}");

    let [.., contact, sum, done] = &objects(&network.p2p(&["ring", "--json", "--peer", "9"]).with(0))[..] else {
        panic!()
    };
    assert_eq!((&contact["event"], &contact["peer"]["peer"]), (&"contact".into(), &"8".into()));
    assert_eq!((&sum["event"], &sum["me"]["peer"], &sum["contacts"]), (&"contacts".into(), &"9".into(), &6.into()));
    assert_eq!(done["event"], "done");
}

#[test]
fn contacts_are_shown_with_their_round_trips_and_who_is_silent() {
    let network = seven();
    let lines = network.p2p(&["peers"]).with(0);
    assert_eq!(cells(&lines[0])[..4], ["peer", "address", "rtt", "heard"]);
    assert!(lines[1..7].iter().all(|line| line.contains(" ms  ") && line.ends_with("s ago  answers")), "{lines:?}");
    // Who is stopped keeps its port open, so it is not dead.
    network.ring[5].signal(Signal::STOP);
    let seen = || {
        let lines = network.p2p(&["peers"]).with(0);
        lines.iter().any(|line| cells(line)[0] == "5" && line.contains("silent")).then_some(())
    };
    eventually(SOON, "5 is silent", seen);
    network.ring[5].signal(Signal::CONT);
}

#[test]
fn a_ping_tells_the_round_trip_or_that_nobody_answers() {
    let network = Network::three();
    let [line] = &network.p2p(&["ping", "5"]).with(0)[..] else { panic!() };
    let addr = network.ring[5].addr;
    assert!(line.starts_with(&format!("peer 5 at {addr} answers in ")) && line.ends_with(" ms"), "{line}");
    let by_addr = network.p2p(&["ping", &format!("localhost:{}", addr.port())]).with(0);
    assert!(by_addr[0].starts_with("peer 5 at "), "{by_addr:?}");
    network.p2p(&["ping", "77"]).failed(4, "peer 77 is no contact of this peer");
    network.p2p(&["ping", "4"]).failed(4, "peer 4 is the one that was asked");
    network.p2p(&["ping", &format!("127.0.0.1:{}", network.ring.lab.port(77))]).failed(4, "no answer from 127.0.0.1:");
    network.p2p(&["ping", "no such host:1"]).failed(2, "no such HOST:PORT");
    let [pinged, _] = &objects(&network.p2p(&["ping", "5", "--json"]).with(0))[..] else { panic!() };
    assert_eq!((&pinged["event"], &pinged["attempts"]), (&"pinged".into(), &1.into()));
    assert!(pinged["rtt_us"].as_u64().unwrap() > 0);
}

#[test]
fn a_find_takes_the_way_of_a_request_and_nobody_shows_it() {
    let network = seven();
    // 2067 mod 256 = 19.
    network.store("2067", b"a few words");
    network.ring.mark();
    let lines = network.p2p(&["find", "2067"]).with(0);
    assert_eq!(lines[0], "2067 → place 19, ring 0…255 (peers 2 4 5 8 9 14 19)");
    let hops: Vec<(&str, &str)> = lines[2..8].iter().map(|line| (cells(line)[0], cells(line)[1])).collect();
    assert_eq!(hops, [("0", "4"), ("1", "5"), ("2", "8"), ("3", "9"), ("4", "14"), ("=", "19")]);
    assert!(lines[4].contains("successor of 5   ") && lines[4].contains(" 11  "), "{lines:?}");
    assert!(lines[7].contains("owns 15…19, has the file"), "{lines:?}");
    assert_eq!(lines[8], "copies on 2, 4");
    assert_eq!(network.ring.told(), [] as [String; 0]);

    let own = network.p2p(&["find", "2067", "--peer", "19"]).with(0);
    assert!(own[2].contains("asked here") && own[3].contains("has the file"), "{own:?}");
    for peer in ["2", "5", "8", "9", "14", "19"] {
        let lines = network.p2p(&["find", "2067", "--peer", peer]).with(0);
        assert_eq!(lines.last().unwrap(), "copies on 2, 4", "asked at {peer}");
    }
}

#[test]
fn a_find_sees_what_only_lies_in_its_owners_folder_as_a_request_does() {
    let network = seven();
    // 4103 mod 256 = 7, so it is peer 8's.
    fs::write(network.ring[8].dir.join("4103.pdf"), b"a few words").unwrap();
    network.ring.mark();
    for peer in ["2", "8", "9"] {
        let lines = network.p2p(&["find", "4103", "--peer", peer]).with(0);
        assert!(lines.last().unwrap().contains("owns 6…8, has the file"), "{lines:?}");
    }
    assert_eq!(network.ring.told(), [] as [String; 0]);
    network.p2p(&["request", "4103", "--peer", "2", "-o", "copy"]).with(0);
    assert_eq!(network.read("copy"), b"a few words");
    let absent = network.p2p(&["find", "4102", "--peer", "2"]);
    assert!(absent.code == 3 && absent.out.contains("owns 6…8, does not have the file"), "{absent:?}");
}

#[test]
fn what_the_other_geometry_would_do_is_computed_and_says_so() {
    let network = seven();
    network.store("2067", b"a few words");
    let lines = network.p2p(&["find", "2067", "--as", "kademlia"]).with(0);
    assert!(lines[0].contains("place 19, kademlia (peers 2 4 5 8 9 14 19)"), "{lines:?}");
    assert!(lines[1].starts_with("computed from the peers met: nobody was asked"), "{lines:?}");
    assert!(lines[4].contains("k-bucket 3 of 4   (first 3 bits shared)"), "{lines:?}");
    let told = objects(&network.p2p(&["find", "2067", "--as", "kademlia", "--json"]).with(0));
    let told: Vec<_> = told.into_iter().filter(|object| object["event"] != "phase").collect();
    let [hop, end, done] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&hop["event"], &hop["why"]["reason"]), (&"find.hop".into(), &"bucket".into()));
    assert_eq!((&hop["rtt_us"], &end["computed"]), (&serde_json::Value::Null, &true.into()));
    assert_eq!(done["event"], "done");
    assert!(!network.p2p(&["find", "2067", "--as", "ring"]).with(0)[1].contains("computed"));
    network.p2p(&["find", "2067", "--as", "star"]).failed(2, "possible values: ring, kademlia");
}

#[test]
fn what_nobody_has_is_looked_for_and_not_found() {
    let network = Network::three();
    let ended = network.p2p(&["find", "nowhere"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.out.contains("does not have the file"), "{ended:?}");
    assert!(ended.err.starts_with("nowhere was not found (3 peers asked)"), "{ended:?}");
    let told = objects(&network.p2p(&["find", "nowhere", "--json"]).with(3));
    assert_eq!(told.last().unwrap()["code"], "not_found");
    network.p2p(&["find", "a/b"]).failed(2, "a file name cannot be a path");
}

#[test]
fn in_kademlia_hops_are_told_by_their_buckets() {
    let mut network = Network::empty();
    for line in ["init 2 4 5 1 --kademlia", "init 4 5 2 1 --kademlia", "init 5 2 4 1 --kademlia"] {
        network.start(line);
    }
    network.found(3);
    network.knows_all();
    network.store("report.pdf", b"first");
    let lines = network.p2p(&["find", "report.pdf"]).with(0);
    assert!(lines[0].contains(", kademlia (peers 2 4 5)"), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains("k-bucket 157 of 4") || line.contains("k-bucket 7 of 4")),
        "{lines:?}"
    );
    let buckets = network.p2p(&["ring"]).with(0);
    assert!(buckets[2].contains(" bucket "), "{buckets:?}");
}

#[test]
fn what_happens_is_watched_until_ctrl_c() {
    let network = Network::three();
    let (mut child, out, err) = network.begin(network.command(&["watch", "file", "peer.dead"]), None);
    let (mut all, objects_out, _) = network.begin(network.command(&["watch", "--json", "--since", "0"]), None);
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    // Stored again and again: when it listens, nobody says.
    eventually(SOON, "both tell of a store", || {
        network.store("a.txt", b"abc");
        (read(&out).contains("  file.stored    file a.txt  ") && read(&objects_out).contains("\"file.stored\""))
            .then_some(())
    });
    assert!(read(&out).lines().all(|line| line[8..].starts_with("  file.")), "{}", read(&out));
    for child in [&mut child, &mut all] {
        kill_process(Pid::from_child(child), Signal::INT).unwrap();
        let status = eventually(SOON, "it ends", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(130));
    }
    assert_eq!(read(&err), "");
    let told = objects(&read(&objects_out).lines().map(str::to_owned).collect::<Vec<_>>());
    assert!(told.iter().all(|object| object["id"].is_u64() && object["at_unix_ms"].is_u64()), "{told:?}");
}

#[test]
fn who_falls_silent_is_told_once_and_before_it_is_dead() {
    let mut network = Network::three();
    let watch = network.command(&["watch", "--json", "--since", "0", "peer.silent", "peer.dead"]);
    let told = |out: &Path| {
        let lines = fs::read_to_string(out).unwrap();
        let objects = objects(&lines.lines().map(str::to_owned).collect::<Vec<_>>());
        let of_5 = objects.iter().filter(|object| object["peer"]["peer"] == "5");
        of_5.map(|object| object["event"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (mut child, out, _) = network.begin(watch, None);
    // Stopped it keeps its port open: suspected, and asked again and again.
    network.ring[5].signal(Signal::STOP);
    eventually(SOON, "5 is silent", || (told(&out) == ["peer.silent"]).then_some(()));
    let silent = || network.p2p(&["peers"]).with(0).iter().any(|line| cells(line)[0] == "5" && line.contains("silent"));
    assert!(silent());
    network.ring[5].signal(Signal::CONT);
    eventually(SOON, "5 is heard again", || (!silent()).then_some(()));
    assert_eq!(told(&out), ["peer.silent"], "one suspicion, told once");
    network.ring.take(5).kill();
    eventually(SOON, "5 is dead", || (told(&out).last().unwrap() == "peer.dead").then_some(()));
    assert_eq!(told(&out), ["peer.silent", "peer.silent", "peer.dead"]);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    eventually(SOON, "it ends", || child.try_wait().unwrap());
}

#[test]
fn what_never_happens_is_not_watched_for() {
    let mut network = Network::empty();
    network.start("init 4");
    network.found(1);
    network.p2p(&["watch", "peer.dad"]).failed(2, "nothing that happens is called peer.dad");
}

#[test]
fn a_watch_ends_with_its_peer() {
    let mut network = Network::three();
    let (mut child, _, err) = network.begin(network.command(&["watch"]), None);
    eventually(SOON, "it ends, if it had begun", || {
        if network.ring.peers.contains_key(&4) {
            network.ring.take(4).kill();
        }
        child.try_wait().unwrap()
    });
    let why = fs::read_to_string(err).unwrap();
    assert!(
        ["peer 4 tells nothing more", "peer 4 cannot be asked", "no peer 4 runs"].iter().any(|end| why.contains(end)),
        "{why}"
    );
}

#[test]
fn progress_is_told_to_programs() {
    let mut network = Network::empty();
    for line in ["init 2 4 5 1", "init 4 5 2 1 --limit-up 2M", "init 5 2 4 1"] {
        network.start(line);
    }
    network.ring.settles();
    network.write("large", &noise(2_000_000, 9));
    let told = objects(&network.p2p(&["store", "large", "--json"]).with(0));
    let progress: Vec<_> = told.iter().filter(|object| object["event"] == "progress").collect();
    assert!(!progress.is_empty(), "{told:?}");
    let done = |object: &&serde_json::Value| object["bytes"].as_u64().unwrap();
    assert!(progress.is_sorted_by_key(done), "{progress:?}");
    assert!(
        progress.iter().all(|object| object["file"] == "large" && done(object) <= object["total"].as_u64().unwrap())
    );
    // To people whose standard error is no terminal, nothing.
    network.write("other", &noise(2_000_000, 10));
    network.p2p(&["store", "other"]).with(0);
}

#[test]
fn typed_looks_show_the_same_tables() {
    let network = Network::three();
    let peer = &network.ring[4];
    let says = |begins: &str| peer.wait_until(SOON, begins, |line| line.text.starts_with(begins));
    for line in ["ring", "peers", "status", "ping 5", "find 2067", "ping 77", "ping", "find"] {
        peer.type_line(line);
    }
    says("   4  127.0.0.1:");
    says("2 contacts");
    says("peer  address");
    says("peer 4  ring  127.0.0.1:");
    says("peer 5 at 127.0.0.1:");
    says("2067 → place 19, ring 0…255 (peers 2 4 5)");
    says("File 2067 was not found (3 peers asked)");
    says("peer 77 is no contact of this peer");
    says("ping needs a peer");
    says("find needs the name of a file");
    peer.type_line("watch peer");
    let mut other = network.spawn("join 9 4 1");
    eventually(SOON, "a line of what happens", || {
        let told = peer.lines().into_iter().any(|line| line.text.contains("  peer.") || line.text.contains("9 Join"));
        if other.has_ended() {
            other = network.spawn("join 9 4 1");
        }
        told.then_some(())
    });
    peer.type_line("watch");
    says("What happens is not shown any more");
}

/// A whole network, and how it ends.
fn up_ends(end: Signal, code: Option<i32>) {
    let (lab, runtime) = (Lab::new(), tempfile::tempdir().unwrap());
    let dir = lab.folder("up");
    let mut command = program();
    command.args(["up", "3", "--interval", "1", "--base-port", &lab.base_port.to_string(), "--dir"]).arg(&dir);
    command.env("XDG_RUNTIME_DIR", runtime.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let asks = |words: &[&str]| {
        let mut command = program();
        command.args(words).env("XDG_RUNTIME_DIR", runtime.path()).output().unwrap()
    };
    let ring = || {
        let output = asks(&["ring", "--peer", "85"]);
        text(&output.stdout).contains("2 contacts").then(|| text(&output.stdout).to_owned())
    };
    let ring = eventually(SOON * 2, "three peers know each other", ring);
    assert!(ring.contains("successor 1") && ring.contains(&format!("127.0.0.1:{}", lab.port(170))), "{ring}");
    assert!(fs::read_to_string(dir.join("logs/85.log")).unwrap().contains("Ping requests sent to Peers 170 and 0"));
    kill_process(Pid::from_child(&child), end).unwrap();
    let status = eventually(SOON * 2, "it ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), code);
    let mut told = String::new();
    child.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    let pids: Vec<i32> = told.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
    assert_eq!(pids.len(), 3, "{told}");
    eventually(SOON * 2, "nobody survives", || {
        let lives = |pid: &i32| test_kill_process(Pid::from_raw(*pid).unwrap()).is_ok();
        let zombie =
            |pid: &i32| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
        pids.iter().all(|pid| !lives(pid) || zombie(pid)).then_some(())
    });
}

#[test]
fn a_whole_network_ends_politely_when_it_is_told_to() {
    up_ends(Signal::TERM, Some(0));
    up_ends(Signal::INT, Some(130));
}

#[test]
fn no_peer_survives_the_death_of_who_started_it() {
    up_ends(Signal::KILL, None);
}

#[test]
fn a_network_of_too_many_or_on_ports_that_are_not_there_is_refused() {
    let here = tempfile::tempdir().unwrap();
    for (words, code, why) in [
        (&["up", "0"][..], 2, "1..=256"),
        (&["up", "257"], 2, "1..=256"),
        (&["up", "2", "--base-port", "65400"], 1, "beyond 65535"),
        (&["up", "2", "--dir", "/dev/null/x"], 1, "cannot make"),
    ] {
        let output = alone(here.path(), words, &[]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(code), ""), "{words:?}");
        assert!(text(&output.stderr).contains(why), "{words:?}: {}", text(&output.stderr));
    }
}

#[test]
fn every_shell_has_its_completions_and_each_command_its_page() {
    let here = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = alone(here.path(), &["completions", shell], &[]);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
        assert!(text(&output.stdout).contains("seal-key"), "{shell}");
    }
    let first = alone(here.path(), &["man"], &[]);
    assert!(
        text(&first.stdout).starts_with(".ie") || text(&first.stdout).contains(".TH p2p 1"),
        "{}",
        text(&first.stdout)
    );
    let written = alone(here.path(), &["man", "pages"], &[]);
    let count = fs::read_dir(here.path().join("pages")).unwrap().count();
    assert_eq!(text(&written.stdout), format!("wrote {count} pages to pages\n"));
    let page = fs::read_to_string(here.path().join("pages/p2p-store.1")).unwrap();
    assert!(page.contains("EXAMPLES") && page.contains("report.pdf") && page.contains("encrypt"), "{page}");
    let pages = fs::read_dir(here.path().join("pages")).unwrap().map(|entry| entry.unwrap().path());
    for path in pages {
        let page = fs::read_to_string(&path).unwrap();
        let is_of_commands = page.contains(".SH SUBCOMMANDS") && !page.contains("EXAMPLES");
        assert!(is_of_commands || page.contains(".SH EXAMPLES"), "{}", path.display());
        assert!(
            page.contains(".SH \"EXIT STATUS\"") && page.contains("fewer copies than wanted"),
            "{}",
            path.display()
        );
    }
    assert!(page.contains("[\\-\\-ttl SECONDS]") && page.contains("FILE..."), "{page}");
    assert!(page.contains(".SH ENVIRONMENT") && page.contains("P2P_PEER"), "{page}");
    assert!(text(&first.stdout).contains("P2P_REMOTE_HOST") && text(&first.stdout).contains("XDG_RUNTIME_DIR"));
    assert!(here.path().join("pages/p2p-dht-put.1").exists());
    let refused = alone(here.path(), &["man", "/dev/null/x"], &[]);
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn settings_come_from_a_flag_a_variable_the_project_the_user_or_nobody_in_this_order() {
    let here = tempfile::tempdir().unwrap();
    let user = here.path().join("user/p2p");
    fs::create_dir_all(&user).unwrap();
    fs::write(user.join("p2p.toml"), "replicas = 6\nalpha = 4\nk = 9\nbits = 80\n").unwrap();
    fs::write(here.path().join("p2p.toml"), "replicas = 5\nalpha = 5\nk = 10\n").unwrap();
    let variables = [("P2P_REPLICAS", "4"), ("P2P_ALPHA", "6"), ("P2P_K", "")];
    let output = alone(here.path(), &["config", "show", "--replicas", "2"], &variables);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let shown = |key: &str| {
        let line = text(&output.stdout).lines().find(|line| cells(line)[0] == key).unwrap_or_else(|| panic!("{key}"));
        cells(line)[1..].join(" ")
    };
    assert_eq!(shown("replicas"), "2 flag");
    assert_eq!(shown("alpha"), "6 variable P2P_ALPHA");
    assert_eq!(shown("k"), "10 project file p2p.toml", "an empty variable is an unset one");
    assert!(shown("bits").starts_with("80 user file ") && shown("bits").ends_with("user/p2p/p2p.toml"));
    assert_eq!((shown("kademlia"), shown("dir")), ("false default".to_owned(), ". default".to_owned()));
    let json = alone(here.path(), &["config", "show", "--json"], &[]);
    let settings = objects(&text(&json.stdout).lines().map(str::to_owned).collect::<Vec<_>>());
    let replicas = settings.iter().find(|object| object["key"] == "replicas").unwrap();
    assert_eq!((&replicas["value"], &replicas["from"]), (&"5".into(), &"project".into()));
}

#[test]
fn a_setting_that_is_none_stops_every_command_and_says_what_was_perhaps_meant() {
    let here = tempfile::tempdir().unwrap();
    for (file, why) in [
        ("replica = 5", "p2p.toml: there is no setting replica: did you mean replicas?"),
        ("replicas = 99", "p2p.toml: replicas: 99 is not in 1..=16"),
        ("replicas 5", "p2p.toml: "),
    ] {
        fs::write(here.path().join("p2p.toml"), file).unwrap();
        let output = alone(here.path(), &["config", "show"], &[]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{file}");
        assert!(text(&output.stderr).contains(why), "{file}: {}", text(&output.stderr));

        // But not those that help to mend it.
        let examined = alone(here.path(), &["doctor"], &[]);
        let found = text(&examined.stdout).lines().find(|line| line.starts_with("problem  settings "));
        assert!(found.is_some_and(|line| line.contains(why)), "{found:?}");
        assert_eq!(examined.status.code(), Some(1));
        assert_eq!(alone(here.path(), &["completions", "bash"], &[]).status.code(), Some(0));
        assert_eq!(alone(here.path(), &["init", "--help"], &[]).status.code(), Some(0));
    }
}

#[test]
fn a_variable_with_a_wrong_value_is_blamed_and_not_an_option_that_nobody_gave() {
    let here = tempfile::tempdir().unwrap();
    let wrong = |words: &[&str]| {
        let output = alone(here.path(), words, &[("P2P_REPLICAS", "99")]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
        text(&output.stderr).lines().next().unwrap().to_owned()
    };
    let blamed = wrong(&["init", "4"]);
    assert_eq!(blamed, "error: invalid value '99' for the variable P2P_REPLICAS: 99 is not in 1..=16");
    let given = wrong(&["init", "4", "--replicas", "98"]);
    assert_eq!(given, "error: invalid value '98' for '--replicas <REPLICAS>': 98 is not in 1..=16");
}

#[test]
fn a_peer_takes_its_settings_from_the_project_file() {
    let mut network = Network::empty();
    let folder = network.ring.lab.folder("4");
    fs::write(folder.join("p2p.toml"), "kademlia = true\n").unwrap();
    network.start("init 4");
    network.found(1);
    assert!(network.p2p(&["status"]).with(0)[0].starts_with("peer 4  kademlia  "));
}

#[test]
fn the_doctor_tells_a_fit_machine_from_one_with_a_problem() {
    let here = tempfile::tempdir().unwrap();
    let fit = alone(here.path(), &["doctor", "--listen", "127.0.0.1:0"], &[]);
    let lines: Vec<&str> = text(&fit.stdout).lines().collect();
    for what in
        ["peers", "settings", "port", "ports", "network", "ipv6", "buffers", "handles", "clock", "space", "fsync"]
    {
        assert!(lines.iter().any(|line| cells(line)[1] == what), "{what}: {lines:?}");
    }
    let problems = lines.iter().any(|line| line.starts_with("problem"));
    assert_eq!((fit.status.code(), text(&fit.stderr)), (Some(i32::from(problems)), ""), "{lines:?}");

    let odd = [("P2P_REPLICA", "5"), ("P2P_PEER", "4"), ("P2P_REMOTE_HOST", "a"), ("P2P_EXIT_ON_EOF", "1")];
    let told = alone(here.path(), &["doctor", "--listen", "127.0.0.1:0"], &odd);
    let warned: Vec<&str> = text(&told.stdout).lines().filter(|line| cells(line)[1] == "variable").collect();
    let [warning] = warned[..] else { panic!("{warned:?}") };
    assert!(
        warning.starts_with("warning")
            && warning.ends_with("P2P_REPLICA says nothing to any command: did you mean P2P_REPLICAS?")
    );
    let eof = alone(here.path(), &["config", "show"], &odd);
    assert!(text(&eof.stdout).lines().any(|line| cells(line).join(" ") == "exit-on-eof true variable P2P_EXIT_ON_EOF"));

    let unfit = alone(here.path(), &["doctor", "--dir", "missing", "--json"], &[]);
    assert_eq!(unfit.status.code(), Some(1));
    let findings = objects(&text(&unfit.stdout).lines().map(str::to_owned).collect::<Vec<_>>());
    let folder = findings.iter().find(|object| object["what"] == "folder").unwrap();
    assert_eq!(folder["state"], "problem");
    assert!(folder["advice"].as_str().unwrap().contains("--dir"));
    assert_eq!(*findings.last().unwrap(), serde_json::json!({ "event": "done", "outcome": "failed" }));
}

/// All commands that have a help of their own.
const HELPS: [&str; 35] = [
    "",
    "init",
    "join",
    "store",
    "request",
    "rm",
    "ls",
    "check",
    "history",
    "set",
    "get",
    "status",
    "ring",
    "peers",
    "find",
    "ping",
    "watch",
    "quit",
    "seal-key",
    "dht",
    "dht put",
    "dht get",
    "dht announce",
    "dht get-peers",
    "dht sample",
    "dht serve",
    "sim",
    "sim churn",
    "bench",
    "plot",
    "up",
    "config show",
    "doctor",
    "completions",
    "man",
];

#[test]
fn help_screens_are_as_they_are_committed() {
    let here = tempfile::tempdir().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    let mut differing = Vec::new();
    for command in HELPS {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let output = alone(here.path(), &words, &[("COLUMNS", "100")]);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{command}");
        let path =
            folder.join(format!("{}.txt", if command.is_empty() { "p2p".into() } else { command.replace(' ', "-") }));
        if env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &output.stdout).unwrap();
        } else if fs::read(&path).ok().as_ref() != Some(&output.stdout) {
            differing.push(command);
        }
    }
    assert!(differing.is_empty(), "look at the help of {differing:?}; UPDATE_SNAPSHOTS=1 writes tests/help anew");
}

#[test]
fn no_command_is_without_its_snapshot() {
    let help = Command::new(env!("CARGO_BIN_EXE_p2p")).arg("--help").output().unwrap();
    let listed = text(&help.stdout).lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed: Vec<&str> = listed.take_while(|line| !line.is_empty()).map(|line| cells(line)[0]).collect();
    assert!(listed.len() > 20, "{listed:?}");
    for command in listed.into_iter().filter(|command| *command != "help") {
        assert!(HELPS.iter().any(|help| help.split(' ').next() == Some(command)), "{command}");
    }
}

#[test]
fn who_watches_since_an_earlier_run_is_told_everything_that_is_kept() {
    let mut network = Network::empty();
    network.start("init 4");
    network.found(1);
    network.store("a.txt", b"abc");
    let (mut child, out, _) = network.begin(network.command(&["watch", "--json", "--since", "1000000"]), None);
    let told = || fs::read_to_string(&out).unwrap().contains("\"file.stored\"").then_some(());
    eventually(SOON, "what was told before is told", told);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    eventually(SOON, "it ends", || child.try_wait().unwrap());
}

/// A plate as a peer leaves it.
fn plate(pid: u32, socket: &Path) -> String {
    let id = "04".repeat(20);
    serde_json::json!({
        "name": "4", "id": id, "addrs": ["127.0.0.1:12004"], "mode": "ring", "naming": "numbered", "pid": pid,
        "socket": socket
    })
    .to_string()
}

#[test]
fn a_plate_of_nobody_costs_no_file_but_its_own() {
    let mut network = Network::empty();
    network.start("init 4");
    network.found(1);
    let folder = network.runtime.join("p2p");
    let stray = |name: &str| {
        let path = network.here.join(name);
        fs::write(&path, "words").unwrap();
        path
    };
    // Higher numbers than processes have.
    let (precious, token) = (stray("precious"), folder.join("4200002.token"));
    let other_socket = network.here.join("other.sock");
    drop(UnixListener::bind(&other_socket).unwrap());
    drop(UnixListener::bind(folder.join("4200002.sock")).unwrap());
    fs::write(&token, "00").unwrap();
    fs::write(folder.join("4200000.json"), plate(4_200_000, &precious)).unwrap();
    fs::write(folder.join("4200001.json"), plate(4_200_001, &other_socket)).unwrap();
    fs::write(folder.join("4200002.json"), plate(4_200_002, &folder.join("4200002.sock"))).unwrap();
    network.p2p(&["status"]).with(0);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "words");
    assert!(other_socket.exists(), "another program's");
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().starts_with("42")), "{left:?}");

    // Another's token does not go with a plate that only says to be its.
    fs::write(&token, "00").unwrap();
    fs::write(folder.join("x.json"), plate(4_200_002, &precious)).unwrap();
    network.p2p(&["status"]).with(0);
    assert!(token.exists() && precious.exists());
}

#[test]
fn what_is_no_plate_keeps_nobody_waiting() {
    let mut network = Network::empty();
    let folder = network.ring.lab.folder("runtime/p2p");
    let fifo = folder.join("x.json");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::os::unix::fs::symlink(&fifo, folder.join("y.json")).unwrap();
    fs::create_dir(folder.join("z.json")).unwrap();
    network.start("init 4");
    let ring = &network.ring[4];
    eventually(SOON, "it has a plate", || folder.join(format!("{}.json", ring.pid())).exists().then_some(()));
    network.p2p(&["status"]).with(0);
    assert!(fifo.exists() && folder.join("z.json").exists());
}

/// Somebody who answers every request at the socket of a plate with this, and ends.
fn answers_with(network: &Network, reply: Vec<u8>) -> thread::JoinHandle<()> {
    let folder = network.ring.lab.folder("runtime/p2p");
    let socket = folder.join("4200000.sock");
    // Of the one before.
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    fs::write(folder.join("4200000.json"), plate(4_200_000, &socket)).unwrap();
    thread::spawn(move || {
        // The first only looks whether somebody is there.
        drop(listener.accept().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        // Who has read enough goes.
        let _ = stream.write_all(&reply);
    })
}

#[test]
fn what_a_peer_says_instead_of_events_is_shown_as_it_is() {
    let network = Network::empty();
    let head = |status: &str, rest: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\n{rest}\r\n");
    let object = r#"{"event":"error","code":"refused","message":"not for you","cause":[],"hint":"ask another"}"#;
    let long = "x".repeat((1 << 20) + 100);
    let cases = [
        (head("503 Service Unavailable", "") + object + "\n", 7, "not for you"),
        (head("404 Not Found", "Content-Length: 0\r\n"), 1, "404"),
        (head("200 OK", "Content-Type: text/event-stream\r\n") + &long, 1, "more in a line than"),
        (head("200 OK", "Content-Type: text/event-stream\r\n") + ": words\n\n", 4, "peer 4 tells nothing more"),
    ];
    for (reply, code, why) in cases {
        let told = answers_with(&network, reply.into_bytes());
        let ended = network.p2p(&["watch"]);
        ended.failed(code, why);
        told.join().unwrap();
    }
}

#[test]
fn only_of_what_changes_something_is_said_that_it_may_still_be_done() {
    let network = Network::three();
    network.ring[4].signal(Signal::STOP);
    let late = |words: &[&str]| {
        let ended = network.p2p(&[words, &["--timeout", "1"]].concat());
        assert_eq!(ended.code, 124, "{words:?}: {ended:?}");
        assert!(ended.err.contains("not done within 1s"), "{words:?}: {ended:?}");
        ended.err.contains("the peer may still be doing it")
    };
    for words in [&["get", "motto"][..], &["check", "a"], &["history", "a"], &["find", "a"], &["ls"], &["status"]] {
        assert!(!late(words), "{words:?}");
    }
    for words in [&["set", "motto", "carry on"][..], &["rm", "a"], &["check", "a", "--repair"], &["quit"]] {
        assert!(late(words), "{words:?}");
    }
    network.ring[4].signal(Signal::CONT);
}
