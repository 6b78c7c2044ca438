//! A peer behind a published port: where others see it nobody answers them, so it says where they reach it.
//!
//! ```text
//! inside 192.168.77.2 ── router 192.168.77.1 | 10.77.0.1 ── outside 10.77.0.2, .3, .4
//!                        10.77.0.1:13000 and 10.77.0.9:13000 lead in; what comes out has the router's address;
//!                        outside knows no way in
//! ```

mod common;

use common::{Lab, Peer, SOON, eventually, is_root, noise, program, through};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the peer inside listens.
const INSIDE: &str = "192.168.77.2";
/// Where it is reached.
const PUBLISHED: &str = "10.77.0.1:13000";

/// Three network namespaces, gone when dropped.
struct Networks {
    prefix: String,
}

impl Networks {
    /// `port`: where the peer inside listens. None: they cannot be made here.
    fn new(port: u16) -> Option<Networks> {
        let networks = Networks { prefix: format!("p2p-{}-{port}", std::process::id()) };
        let [inside, router, outside] = ["in", "router", "out"].map(|name| networks.name(name));
        let script = format!(
            "set -e
            for n in {inside} {router} {outside}; do ip netns add $n; ip -n $n link set lo up; done
            ip link add in netns {router} type veth peer name router netns {inside}
            ip link add out netns {router} type veth peer name router netns {outside}
            for end in '{router} in 192.168.77.1' '{router} out 10.77.0.1' '{router} out 10.77.0.9' '{inside} router {INSIDE}' \
                '{outside} router 10.77.0.2' '{outside} router 10.77.0.3' '{outside} router 10.77.0.4'; do
                set -- $end; ip -n $1 addr add $3/24 dev $2; ip -n $1 link set $2 up
            done
            ip -n {inside} route add default via 192.168.77.1
            at_router() {{ nsenter --net=/run/netns/{router} \"$@\"; }}
            at_router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
            for p in udp tcp; do
                at_router iptables -t nat -A PREROUTING -i out -p $p --dport 13000 -j DNAT --to {INSIDE}:{port}
            done
            at_router iptables -t nat -A POSTROUTING -o out -j MASQUERADE"
        );
        let made = Command::new("sh").args(["-c", &script]).output().unwrap();
        if !made.status.success() {
            eprintln!("skipped: no networks (ip, iptables): {}", String::from_utf8_lossy(&made.stderr));
            return None;
        }
        Some(networks)
    }

    fn name(&self, which: &str) -> String {
        format!("{}-{which}", self.prefix)
    }

    /// A command in one of them.
    fn within(&self, which: &str, command: Command) -> Command {
        through("nsenter", &[&format!("--net=/run/netns/{}", self.name(which))], command)
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for which in ["in", "router", "out"] {
            let _ = Command::new("ip").args(["netns", "delete", &self.name(which)]).output();
        }
    }
}

/// Peers, each in a folder of its own in one of the networks.
struct Story {
    networks: Networks,
    peers: Vec<(PathBuf, Peer)>,
    /// How many peers keep a file.
    copies: &'static str,
    lab: Lab,
}

impl Story {
    /// Starts a peer, and waits until it is a member.
    fn start(&mut self, which: &str, words: &str) {
        let dir = self.lab.folder(&self.peers.len().to_string());
        let mut command = program();
        command.args(words.split(' ')).args(["--replicas", self.copies]).env("XDG_RUNTIME_DIR", &dir);
        let hosts = self.hosts();
        if hosts.exists() {
            let bind = format!("mount --bind '{}' /etc/hosts && exec \"$@\"", hosts.display());
            command = through("unshare", &["--mount", "sh", "-c", &bind, "sh"], command);
        }
        let mut command = self.networks.within(which, command);
        command.current_dir(&dir);
        let peer = Peer::spawn(0, 0, &dir, command);
        eventually(SOON, "it answers", || self.ask(&dir, &["status"]).0.then_some(()));
        self.peers.push((dir, peer));
    }

    /// The names that peers know which are started while it is there.
    fn hosts(&self) -> PathBuf {
        self.lab.dir.path().join("hosts")
    }

    fn ask(&self, dir: &Path, words: &[&str]) -> (bool, String) {
        let output = program().args(words).current_dir(dir).env("XDG_RUNTIME_DIR", dir).output().unwrap();
        (output.status.success(), [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat())
    }

    /// All know all, and those outside know the one inside by its published place alone.
    fn settles(&self, inside: usize) {
        for (at, (dir, _)) in self.peers.iter().enumerate() {
            let others = self.peers.len() - 1;
            let knows = |known: &str| {
                let right = at == inside || known.contains(PUBLISHED) && known.matches("10.77.0.1:").count() == 1;
                known.contains(&format!("{others} contact")) && right
            };
            eventually(SOON * 2, "all know all", || knows(&self.ask(dir, &["peers"]).1).then_some(()));
        }
    }

    /// Each stores a file, and all fetch all.
    fn serves_everything(&self, names: &[&str]) {
        for (number, (name, (dir, _))) in names.iter().zip(&self.peers).enumerate() {
            // More than a handful of chunks: it comes in pieces from whoever has it.
            fs::write(dir.join(name), noise(5_000_000, number as u64)).unwrap();
            let (stored, told) = self.ask(dir, &["store", name]);
            assert!(stored && told.contains(&format!("{0} of {0}", self.copies)), "{told}");
        }
        for (number, name) in names.iter().enumerate() {
            for (dir, _) in &self.peers {
                let (came, told) = self.ask(dir, &["request", name, "-o", "copy", "--timeout", "30"]);
                assert!(came, "{told}");
                assert!(fs::read(dir.join("copy")).unwrap() == noise(5_000_000, number as u64), "{name}");
                fs::remove_file(dir.join("copy")).unwrap();
            }
        }
    }
}

/// Where the peer inside listens in the ring: as peer 8.
const PORT_OF_8: u16 = 12008;

#[test]
fn a_ring_reaches_a_peer_behind_a_published_port() {
    let Some(networks) = is_root().then(|| Networks::new(PORT_OF_8)).flatten() else { return };
    let mut story = Story { networks, peers: Vec::new(), copies: "1", lab: Lab::new() };
    story.start("out", "init 2 --host 10.77.0.2");
    story.start("in", &format!("join 8 2@10.77.0.2:12002 1 --host {INSIDE} --advertise {PUBLISHED}"));
    story.start("out", "join 14 2@10.77.0.2:12002 1 --host 10.77.0.3");
    story.start("out", "join 200 14@10.77.0.3:12014 1 --host 10.77.0.4");
    story.settles(1);
    // Places 1, 7, 10 and 100: one for each of the peers.
    story.serves_everything(&["4097", "4103", "4106", "4196"]);
    let (_, found) = story.ask(&story.peers[3].0, &["find", "4103"]);
    assert!(found.contains("has the file") && found.contains("     8  owns"), "{found}");
}

#[test]
fn a_kademlia_network_reaches_a_peer_behind_a_published_port() {
    let Some(networks) = is_root().then(|| Networks::new(12000)).flatten() else { return };
    let mut story = Story { networks, peers: Vec::new(), copies: "4", lab: Lab::new() };
    story.start("out", "join --kademlia --listen 10.77.0.2:12000");
    story.start("in", &format!("join --kademlia --listen :12000 --remote 10.77.0.2 --advertise {PUBLISHED}"));
    story.start("out", "join --kademlia --listen 10.77.0.3:12000 --remote 10.77.0.2");
    // Whom it joins by is the one inside.
    story.start("out", &format!("join --kademlia --listen 10.77.0.4:12000 --remote {PUBLISHED}"));
    story.settles(1);
    story.serves_everything(&["one", "two", "three", "four"]);
    let (_, set) = story.ask(&story.peers[1].0, &["set", "motto", "carry on"]);
    // Three of four are enough, where the fourth is late.
    assert!(["kept by 3 peers", "kept by 4 peers"].iter().any(|kept| set.contains(kept)), "{set}");
}

#[test]
fn an_advertised_name_that_leads_elsewhere_is_told_anew() {
    let Some(networks) = is_root().then(|| Networks::new(12001)).flatten() else { return };
    let mut story = Story { networks, peers: Vec::new(), copies: "1", lab: Lab::new() };
    story.start("out", "join --kademlia --listen 10.77.0.2:12000");
    fs::write(story.hosts(), "10.77.0.1 published.test\n").unwrap();
    story.start("in", "join --kademlia --listen :12001 --remote 10.77.0.2 --advertise published.test:13000");
    story.settles(1);
    fs::write(story.hosts(), "10.77.0.9 published.test\n").unwrap();
    let moved = || story.ask(&story.peers[0].0, &["peers"]).1.contains("10.77.0.9:13000").then_some(());
    eventually(SOON * 4, "the other one asks it there", moved);
    assert!(story.ask(&story.peers[0].0, &["peers"]).1.contains("1 contact"), "and there alone");
}
