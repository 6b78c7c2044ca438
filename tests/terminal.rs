//! At a real terminal: the prompt, half typed text, history, and leaving it as it was found.

mod common;

use common::terminal::Terminal;
use common::{Lab, Peer, SOON, eventually, program};
use rustix::process::Signal;
use std::ops::{Deref, DerefMut};

/// A peer 2 at a terminal of its own, in a ring of two with a peer 8 at a pipe.
struct Seated {
    terminal: Terminal,
    other: Peer,
    lab: Lab,
}

impl Seated {
    /// Pings come every so many seconds.
    fn open(interval: &str) -> Seated {
        let lab = Lab::new();
        let other = lab.start(&format!("init 8 2 8 {interval}"));
        let mut command = program();
        let base_port = lab.base_port.to_string();
        command.args(["init", "2", "8", "2", interval, "--base-port", &base_port]).current_dir(lab.folder("2"));
        let terminal = Terminal::run(&command);
        terminal.shows("Ping response received from Peer 8");
        terminal.prompt_is("> ");
        Seated { terminal, other, lab }
    }
}

impl Deref for Seated {
    type Target = Terminal;

    fn deref(&self) -> &Terminal {
        &self.terminal
    }
}

impl DerefMut for Seated {
    fn deref_mut(&mut self) -> &mut Terminal {
        &mut self.terminal
    }
}

#[test]
fn lines_that_arrive_keep_what_is_half_typed() {
    let mut terminal = Seated::open("0.5");
    terminal.press("Request no");
    terminal.prompt_is("> Request no");
    let seen = terminal.count("Ping response received from Peer 8");
    eventually(SOON, "three more rounds of pings", || {
        (terminal.count("Ping response received from Peer 8") >= seen + 3).then_some(())
    });
    terminal.prompt_is("> Request no");
    terminal.press(".such\r");
    terminal.shows("File no.such was not found (2 peers asked): nobody has heard of it");
    terminal.prompt_is("> ");
    assert_eq!(terminal.count("> Request no.such"), 1, "{}", terminal.text());
    assert_eq!(terminal.count("File no.such was not found (2 peers asked): nobody has heard of it"), 1);
}

#[test]
fn arrow_up_brings_the_last_line_back() {
    let mut terminal = Seated::open("60");
    terminal.press("Request no.such\r");
    terminal.shows("File no.such was not found (2 peers asked): nobody has heard of it");
    terminal.prompt_is("> ");
    terminal.press("\x1b[A");
    terminal.prompt_is("> Request no.such");
    terminal.press("\r");
    eventually(SOON, "a second answer", || {
        (terminal.count("File no.such was not found (2 peers asked): nobody has heard of it") == 2).then_some(())
    });
    // Edited in the middle: to the left of the last letter.
    terminal.press("\x1b[A\x1b[Dx\r");
    terminal.shows("File no.sucxh was not found (2 peers asked): nobody has heard of it");
}

#[test]
fn nobody_at_a_terminal_waits_for_the_answer_before() {
    let mut terminal = Seated::open("60");
    terminal.press("hilfe\rStore missing\r");
    eventually(SOON, "the list of words", || {
        terminal
            .rows()
            .iter()
            .any(|row| row.starts_with("The words are: Store FILE, Request NAME, rm NAME, ls,"))
            .then_some(())
    });
    eventually(SOON, "an answer", || {
        terminal.rows().iter().any(|row| row.starts_with("File missing: there is no file")).then_some(())
    });
    terminal.prompt_is("> ");
}

#[test]
fn tab_completes_words_paths_and_names() {
    let mut terminal = Seated::open("60");
    std::fs::write(terminal.lab.folder("2").join("lorem ipsum.txt"), "dolor").unwrap();
    terminal.press("sto\t");
    terminal.prompt_is("> Store ");
    terminal.press("lor\t");
    eventually(SOON, "the path, its blank marked or not", || {
        terminal.rows().iter().any(|row| row.starts_with("> Store lorem")).then_some(())
    });
    terminal.press("\x15Store 4103\r");
    eventually(SOON, "an answer", || {
        terminal.rows().iter().any(|row| row.starts_with("File 4103: there is no file")).then_some(())
    });
    std::fs::write(terminal.lab.folder("2").join("report.pdf"), "sit").unwrap();
    terminal.press("Store report.pdf\r");
    eventually(SOON, "it is stored", || {
        terminal.rows().iter().any(|row| row.starts_with("Stored report.pdf: 2 copies")).then_some(())
    });
    terminal.press("requ\trep\t");
    terminal.prompt_is("> Request report.pdf");
    terminal.press("\r");
    terminal.shows("File report.pdf received");
}

#[test]
fn tab_asks_the_network_for_the_names_that_this_prompt_has_not_heard_of() {
    let mut terminal = Seated::open("60");
    let far = terminal.lab.source("far away.txt", b"dolor");
    terminal.other.type_line(&format!("Store {}", far.display()));
    terminal.other.wait_until(SOON, "it is stored", |line| line.text.starts_with("Stored far away.txt: "));
    terminal.tab_makes("history fa", "> history far away.txt");
    terminal.tab_makes("ping ", "> ping 8");
    terminal.press("\x15set colour blue\r");
    eventually(SOON, "it is set", || {
        terminal.rows().iter().any(|row| row.starts_with("colour is set (")).then_some(())
    });
    terminal.tab_makes("get ", "> get colour");
    terminal.tab_makes("find x --as k", "> find x --as kademlia");
    assert!(terminal.rows().iter().all(|row| !row.starts_with("1 file (")), "nobody typed ls: {}", terminal.text());
    terminal.press("\x15ls\r");
    terminal.shows_row("what was typed", |row| row.starts_with("1 file ("));
}

#[test]
fn a_look_is_shown_above_what_is_half_typed() {
    let mut terminal = Seated::open("60");
    terminal.press("ping 8\rhalf");
    eventually(SOON, "the round trip", || {
        terminal.rows().iter().any(|row| row.starts_with("peer 8 at 127.0.0.1:")).then_some(())
    });
    terminal.prompt_is("> half");
}

#[test]
fn ctrl_c_ends_at_once_with_130_and_a_cooked_terminal() {
    let mut terminal = Seated::open("1");
    assert!(!terminal.is_cooked(), "the editor has it");
    terminal.press("half typ");
    terminal.prompt_is("> half typ");
    terminal.press("\x03");
    assert_eq!(terminal.ends(), 130);
    terminal.other.wait_for("Peer 2 is no longer alive", SOON);
}

#[test]
fn signals_from_elsewhere_leave_a_cooked_terminal_too() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 0)] {
        let mut terminal = Seated::open("1");
        terminal.press("half typ");
        terminal.prompt_is("> half typ");
        terminal.signal(signal);
        assert_eq!(terminal.ends(), code, "{signal:?}");
    }
}

#[test]
fn quit_exits_with_0_and_a_cooked_terminal() {
    let mut terminal = Seated::open("1");
    terminal.press("quit\r");
    assert_eq!(terminal.ends(), 0);
    terminal.other.wait_for("Peer 2 will depart from the network", SOON);
    assert!(terminal.rows().iter().all(|row| !row.contains("depart")), "{}", terminal.text());
}

#[test]
fn ctrl_d_ends_the_typing_but_not_the_peer() {
    let mut terminal = Seated::open("0.5");
    terminal.press("\x04");
    terminal.shows("No more input: the peer serves on, Ctrl-C ends it");
    terminal.other.mark();
    terminal.other.wait_for("Ping response received from Peer 2", SOON);
    terminal.press("\x03");
    assert_eq!(terminal.exit(), 130);
    assert!(terminal.is_cooked());
}
