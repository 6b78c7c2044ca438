//! Commands given at a real terminal: bars, questions, and the word with which an interrupted one ends.

mod common;

use common::network::Network;
use common::terminal::Terminal;
use common::{SOON, eventually, noise, program};

/// A ring of three, of which peer 4, that commands ask, sends and takes a megabyte a second.
fn slow(copies: u8) -> Network {
    let more = format!("--replicas {copies}");
    let lines = [format!("init 2 4 5 1 {more}"), format!("init 5 2 4 1 {more}")];
    Network::of(&[&lines[0], &format!("init 4 5 2 1 {more} --limit-up 1M --limit-down 1M"), &lines[1]])
}

/// `large  3.0 MB  ━━━━━━━━────────────   41 %  1.0 MB/s  2 s left`
fn is_bar(row: &str) -> bool {
    let has_bar =
        row.split_whitespace().any(|word| word.chars().count() == 20 && word.chars().all(|char| "━─".contains(char)));
    row.starts_with("large")
        && row.contains("  3.0 MB  ")
        && has_bar
        && row.contains(" %  ")
        && row.contains("B/s  ")
        && row.ends_with(" s left")
}

/// Nothing of a bar is left.
fn is_clear(terminal: &Terminal) {
    assert!(!terminal.text().contains(['━', '─']), "{}", terminal.text());
}

#[test]
fn a_bar_with_speed_and_time_left_is_there_while_a_file_moves_and_gone_when_it_has() {
    let network = slow(3);
    network.write("large", &noise(3_000_000, 1));
    let mut store = Terminal::run(&network.command(&["store", "large"]));
    store.shows_row("a bar of the store", is_bar);
    assert_eq!(store.exit(), 0);
    store.shows_row("the result", |row| row.starts_with("stored large   place "));
    is_clear(&store);
}

/// The name of a file that peer 4 does not keep itself.
fn far_from_4(network: &Network) -> String {
    let name = (0..).map(|at| format!("large{at}")).find(|name| {
        let stored =
            network.run(network.command(&["store", "-", "--name", name, "--peer", "2"]), Some(&noise(3_000_000, 1)));
        assert_eq!(stored.code, 0, "{stored:?}");
        !stored.out.contains("   peer 4   ")
    });
    name.unwrap()
}

#[test]
fn a_request_has_the_same_bar() {
    let network = slow(1);
    let name = far_from_4(&network);
    let mut request = Terminal::run(&network.command(&["request", &name, "-o", "copy"]));
    request.shows_row("a bar of the request", is_bar);
    assert_eq!(request.exit(), 0);
    request.shows_row("the result", |row| row.starts_with(&format!("fetched {name}   3.0 MB   from peer ")));
    is_clear(&request);
    assert!(network.read("copy") == noise(3_000_000, 1));
}

#[test]
fn a_store_that_is_interrupted_says_that_the_peer_may_still_be_doing_it() {
    let network = slow(3);
    network.write("large", &noise(3_000_000, 1));
    let mut store = Terminal::run(&network.command(&["store", "large"]));
    store.shows_row("a bar", is_bar);
    store.press("\x03");
    assert_eq!(store.ends(), 130);
    store.shows_row("the word", |row| row.ends_with("the peer may still be doing it"));
    is_clear(&store);
}

#[test]
fn at_a_prompt_it_is_told_above_what_is_half_typed_how_far_a_file_has_come() {
    let mut network = Network::empty();
    ["init 2 4 5 1", "init 5 2 4 1"].into_iter().for_each(|line| network.start(line));
    network.write("large", &noise(9_000_000, 1));
    let mut command = program();
    let base_port = network.ring.lab.base_port.to_string();
    command
        .args(["init", "4", "5", "2", "1", "--limit-up", "1M", "--base-port", &base_port])
        .current_dir(&network.here);
    command.env("XDG_RUNTIME_DIR", &network.runtime);
    let mut peer = Terminal::run(&command);
    peer.shows("Ping response received from Peer 5");
    peer.press("Store large\r");
    peer.press("Request no");
    let is_told = |row: &str| row.starts_with("large  ") && row.contains(" % of 9.0 MB  ") && row.ends_with(" s left");
    peer.shows_row("how far it has come", is_told);
    peer.prompt_is("> Request no");
}

#[test]
fn a_request_whose_terminal_is_closed_ends_at_once_with_129() {
    let network = slow(1);
    let name = far_from_4(&network);
    let mut request = Terminal::run(&network.command(&["request", &name, "-o", "copy"]));
    request.shows_row("a bar of the request", is_bar);
    request.hang_up();
    assert_eq!(request.exit(), 129);
    assert!(!network.here.join("copy").exists());
}

#[test]
fn a_passphrase_is_asked_for_twice_and_never_shown() {
    let network = Network::three();
    network.write("plain", b"for two pairs of eyes");
    let ask = |words: &[&str], answers: &[(&str, &str)]| {
        let mut terminal = Terminal::run(&network.command(words));
        for (question, answer) in answers {
            terminal.prompt_is(question);
            eventually(SOON, "what is typed is not shown", || (!terminal.echoes()).then_some(()));
            terminal.press(&format!("{answer}\r"));
        }
        let code = terminal.ends();
        assert!(terminal.echoes() && !terminal.text().contains("secret"), "{}", terminal.text());
        (code, terminal.text())
    };
    let twice = |second| [("Passphrase: ", "secret"), ("The same again: ", second)];
    let (code, told) = ask(&["store", "plain", "--encrypt"], &twice("secre"));
    assert!(code == 1 && told.contains("the two passphrases are not the same: nothing was done"), "{code} {told}");
    let (code, told) = ask(&["store", "plain", "--encrypt"], &twice("secret"));
    assert!(code == 0 && told.contains("stored plain   place "), "{code} {told}");
    let (code, told) = ask(&["request", "plain", "-o", "copy"], &[("Passphrase: ", "secreT")]);
    assert!(code == 7 && told.contains("passphrase"), "{code} {told}");
    let (code, told) = ask(&["request", "plain", "-o", "copy"], &[("Passphrase: ", "secret")]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(network.read("copy"), b"for two pairs of eyes");
}

#[test]
fn who_joins_at_a_terminal_hears_whom_it_waits_for_and_ctrl_c_ends_it() {
    let network = Network::empty();
    let mut command = program();
    let base_port = network.ring.lab.base_port.to_string();
    command.args(["join", "15", "4", "15", "--base-port", &base_port]).current_dir(&network.here);
    let mut join = Terminal::run(&command);
    let nobody = format!("127.0.0.1:{}", network.ring.lab.port(4));
    join.shows_row("whom it waits for", |row| row.contains(&nobody));
    join.press("\x03");
    assert_eq!(join.ends(), 130);
}
