//! What people do with a network is the same on both overlays: each story here is told twice.

mod common;

use common::{Lab, Peer, Ring, SEVEN, SOON, noise};
use std::net::UdpSocket;
use std::path::Path;

/// Which overlay the peers keep to.
#[derive(Clone, Copy, Debug)]
enum Overlay {
    Ring,
    Kademlia,
}

impl Overlay {
    fn options(self) -> &'static str {
        match self {
            Overlay::Ring => "",
            Overlay::Kademlia => " --kademlia",
        }
    }
}

/// The seven peers of the assignment, just started: commands wait until their peers are there.
fn seven(overlay: Overlay) -> Ring {
    let mut network = Ring::empty(Lab::new(), "1");
    for (number, [first, second]) in SEVEN {
        network.start(&format!("init {number} {first} {second} 1{}", overlay.options()));
    }
    network
}

fn set(peer: &Peer, key: &str, value: &str) {
    peer.mark();
    peer.type_line(&format!("set {key} {value}"));
    let is_set = format!("{key} is set (");
    peer.wait_until(SOON, &is_set, |line| line.text.starts_with(&is_set));
}

fn gets(peer: &Peer, key: &str, value: &str) {
    peer.mark();
    peer.type_line(&format!("get {key}"));
    peer.wait_for(&format!("{key} = {value}"), SOON);
}

fn asks_in_vain(peer: &Peer, line: &str, expected: &str) {
    peer.mark();
    peer.type_line(line);
    peer.wait_until(SOON, expected, |line| line.text.starts_with(expected));
}

/// Lines that wait in a pipe when nobody is there to join yet.
fn what_is_typed_before_it_has_joined_is_done_when_it_has(overlay: Overlay) {
    let mut network = Ring::empty(Lab::new(), "1");
    let door = UdpSocket::bind(("127.0.0.1", network.lab.port(4))).unwrap();
    network.start(&format!("join 9 4 1{} --exit-on-eof", overlay.options()));
    std::fs::write(network[9].dir.join("hello.txt"), "hello").unwrap();
    network[9].type_line("set colour blue\nget colour\nStore hello.txt\nls");
    network[9].close_input();
    // It has knocked, and will again in a second: by then it has read what was typed.
    door.recv(&mut [0; 2048]).unwrap();
    drop(door);
    network.start(&format!("init 4{}", overlay.options()));
    let nine = network.take(9);
    assert_eq!(nine.exit(SOON * 2).code(), Some(0));
    let told: Vec<String> = nine.told();
    let wanted = ["Join request has been accepted", "colour is set (", "colour = blue", "hello.txt  "];
    let mut rest = told.iter();
    for wanted in wanted {
        assert!(rest.any(|line| line.starts_with(wanted)), "no {wanted:?} in its place: {told:?}");
    }
}

fn files_are_stored_at_one_and_fetched_at_all(overlay: Overlay) {
    let mut network = seven(overlay);
    for (at, name, bytes) in
        [(8, "4103", noise(100_000, 1)), (2, "notes.txt", b"a few words".to_vec()), (19, "empty.bin", Vec::new())]
    {
        network.store(at, name, &bytes);
    }
    network.serves_everything();
}

fn a_file_stored_again_is_replaced_everywhere(overlay: Overlay) {
    let mut network = seven(overlay);
    network.store(4, "report.pdf", b"first");
    network.store(14, "report.pdf", &noise(50_000, 2));
    network.files.truncate(1);
    network.serves_everything();
}

fn values_are_set_at_one_and_read_at_all(overlay: Overlay) {
    let network = seven(overlay);
    set(&network[5], "motto", "to be, or not to be");
    network.peers.values().for_each(|peer| gets(peer, "motto", "to be, or not to be"));
    set(&network[19], "motto", "that is the question");
    network.peers.values().for_each(|peer| gets(peer, "motto", "that is the question"));
    asks_in_vain(&network[9], "get nothing", "nothing is not set (");
}

fn what_does_not_exist_is_said_not_to(overlay: Overlay) {
    let network = seven(overlay);
    asks_in_vain(&network[4], "Request nowhere.bin", "File nowhere.bin was not found (");
    asks_in_vain(&network[4], "Store missing.bin", "File missing.bin: ");
    let long = "x".repeat(1001);
    asks_in_vain(&network[4], &format!("set long {long}"), "a value has at most 1000 bytes");
    gets_after(&network[4]);
}

/// Whatever was refused before, it still serves.
fn gets_after(peer: &Peer) {
    set(peer, "after", "all");
    gets(peer, "after", "all");
}

fn two_deaths_at_once_lose_nothing(overlay: Overlay) {
    let mut network = seven(overlay);
    network.store(8, "4103", &noise(30_000, 3));
    network.store(2, "other.bin", &noise(30_000, 4));
    set(&network[4], "motto", "carry on");
    [8, 9].into_iter().for_each(|number| network.take(number).kill());
    network.serves_everything();
    network.peers.values().for_each(|peer| gets(peer, "motto", "carry on"));
}

fn who_quits_hands_over_and_who_joins_takes_part(overlay: Overlay) {
    let mut network = seven(overlay);
    network.store(8, "4103", &noise(30_000, 5));
    set(&network[4], "motto", "carry on");
    network.start(&format!("join 15 4 1{}", overlay.options()));
    network[15].wait_for("Join request has been accepted", SOON);
    for number in [8, 9, 14] {
        let leaves = network.take(number);
        leaves.type_line("Quit");
        assert!(leaves.exit(SOON).success());
    }
    network.serves_everything();
    network.peers.values().for_each(|peer| gets(peer, "motto", "carry on"));
}

fn what_was_kept_survives_the_death_of_all(overlay: Overlay) {
    let mut network = seven(overlay);
    network.store(8, "4103", &noise(30_000, 6));
    set(&network[4], "motto", "carry on");
    let numbers: Vec<u8> = network.peers.keys().copied().collect();
    numbers.iter().for_each(|number| network.take(*number).kill());
    for (number, [first, second]) in SEVEN {
        network.start(&format!("init {number} {first} {second} 1{}", overlay.options()));
    }
    let source = network.files[0].clone();
    let reader = &network[19];
    fetches_at_last(reader, &source);
    common::eventually(SOON, "the value is found", || {
        reader.mark();
        reader.type_line("get motto");
        let line = reader.wait_until(SOON, "an answer", |line| line.text.starts_with("motto "));
        (line.text == "motto = carry on").then_some(())
    });
}

/// All have just been started: it may take more than one request until they have found each other again.
fn fetches_at_last(peer: &Peer, source: &Path) {
    let name = source.file_name().unwrap().to_str().unwrap();
    common::eventually(SOON * 2, "the file is found", || {
        peer.order(source);
        let ends = |line: &common::Line| {
            line.text == format!("File {name} received") || line.text.starts_with(&format!("File {name} was not found"))
        };
        let line = peer.wait_until(SOON, "an answer", ends);
        line.text.ends_with("received").then_some(())
    });
    peer.gets(source, SOON);
}

/// One test for each story and overlay.
macro_rules! told_twice {
    ($($story:ident)*) => {
        mod ring {
            $(#[test] fn $story() { super::$story(super::Overlay::Ring) })*
        }
        mod kademlia {
            $(#[test] fn $story() { super::$story(super::Overlay::Kademlia) })*
        }
    };
}

told_twice! {
    what_is_typed_before_it_has_joined_is_done_when_it_has
    files_are_stored_at_one_and_fetched_at_all
    a_file_stored_again_is_replaced_everywhere
    values_are_set_at_one_and_read_at_all
    what_does_not_exist_is_said_not_to
    two_deaths_at_once_lose_nothing
    who_quits_hands_over_and_who_joins_takes_part
    what_was_kept_survives_the_death_of_all
}
