//! The examples of README.md and docs/http.md: each is run as it stands there, and prints what it is said to print.
//!
//! Commands are run by bash, in a network, a home and a process namespace of their own. What an example is: tests/common/pages.rs.

mod common;

use common::pages::{Block, Example, blocks, is_as_shown};
use common::{eventually, is_root, noise};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// How long one command may take: some minutes' work is not in these pages.
const LIMIT: Duration = Duration::from_secs(40);

/// How long a look may show something else, as where a third copy has just been made.
const LOOK_AGAIN: Duration = Duration::from_secs(20);

/// The pages whose examples are run.
const PAGES: [(&str, &str); 3] = [
    ("README.md", include_str!("../README.md")),
    ("docs/http.md", include_str!("../docs/http.md")),
    ("docs/bench.md", include_str!("../docs/bench.md")),
];

/// How a block is run.
type Story = fn(&Stage, &Block);

/// How each block is run: by the page, the heading, and which one it is below that.
const STORIES: [(&str, Story); 18] = [
    ("README.md, A walk, 1", types_at_the_demo),
    ("README.md, A walk, 2", walks_on_through_the_demo),
    ("README.md, Running peers, 1", starts_peers),
    ("README.md, Commands, 1", stores_in_a_ring),
    ("README.md, Commands, 2", looks_at_a_ring),
    ("README.md, Kademlia, and the Mainline DHT, 1", starts_peers),
    ("README.md, Kademlia, and the Mainline DHT, 2", runs),
    ("README.md, A network that is not there, 1", runs),
    ("docs/http.md, A running peer over HTTP, 1", starts_peers),
    ("docs/http.md, A running peer over HTTP, 2", has_no_output),
    ("docs/http.md, A running peer over HTTP, 3", asks_a_peer),
    ("docs/http.md, Files, 1", asks_a_peer),
    ("docs/http.md, Everything else, 1", asks_a_peer),
    ("docs/http.md, Everything else, 2", asks_a_peer),
    ("docs/http.md, Events, 1", hears_events),
    ("docs/http.md, Events, 2", hears_of_a_death),
    ("docs/http.md, For who watches, 1", asks_a_peer),
    ("README.md, A network that is not there, 2", names_tables),
];

/// What is not run here, and why.
const NOT_RUN: [(&str, &str); 4] = [
    ("README.md, Two commands, 1", "the first is run as the walk; the second runs this test"),
    ("README.md, In containers, and as a service, 1", "needs a Docker engine: tests/containers.rs"),
    ("README.md, Experiments, 1", "takes minutes: tests/bench.rs runs them with --quick"),
    ("docs/bench.md, Experiments on real processes, 1", "takes minutes: tests/bench.rs runs them with --quick"),
];

/// Where commands are run: nothing of it is anywhere else, and all of it ends when it is dropped.
struct Stage {
    /// The home of whoever reads the page.
    home: TempDir,
    holder: Child,
    /// What has been started and runs on.
    running: Mutex<Vec<(Child, PathBuf)>>,
    /// What comes before each command.
    prelude: Mutex<String>,
}

impl Stage {
    fn new() -> Stage {
        let home = TempDir::new().unwrap();
        for folder in ["bin", "run", "files", "target/release"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["bin/p2p", "target/release/p2p"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_p2p"), home.path().join(name)).unwrap();
        }
        for name in ["init_peers.sh", "files/4103.pdf", "files/2067.pdf", "files/lorem.txt"] {
            fs::copy(root.join(name), home.path().join(name)).unwrap();
        }
        let spaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"];
        let script = "ip link set lo up; for n in 7 8; do ip addr add 10.0.0.$n/32 dev lo; done; echo; exec sleep 1000";
        let mut holder = Command::new("unshare").args(spaces).arg(script).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut ready).expect("it has made its network");
        Stage { home, holder, running: Mutex::default(), prelude: Mutex::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let unshare = self.holder.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap();
        let mut command = Command::new("nsenter");
        command.args(["--target", children.trim(), "--net", "--mount", "--pid", "bash", "-c"]);
        let home = self.home.path().display();
        command.arg(format!("cd {home}\n{}\n{line}", self.prelude.lock().unwrap())).env_clear();
        command.env("HOME", self.home.path()).env("XDG_RUNTIME_DIR", self.path("run")).env("LANG", "C.UTF-8");
        command.env("PATH", format!("{home}/bin:/usr/sbin:/usr/bin:/sbin:/bin")).env("TMPDIR", self.home.path());
        command
    }

    /// Begins a command. Where its output is.
    fn begin(&self, line: &str) -> (Child, PathBuf) {
        let (file, out) = tempfile::NamedTempFile::new().unwrap().keep().unwrap();
        let error = file.try_clone().unwrap();
        let mut command = self.command(line);
        (command.stdin(Stdio::null()).stdout(file).stderr(error).spawn().unwrap(), out)
    }

    /// Runs a command to its end: how that was, and all it said.
    fn run(&self, line: &str) -> (i32, String) {
        let (mut child, out) = self.begin(line);
        let status = eventually(LIMIT, line, || child.try_wait().unwrap());
        let told = String::from_utf8_lossy(&fs::read(&out).unwrap()).into_owned();
        fs::remove_file(out).unwrap();
        (status.code().unwrap_or(-1), told)
    }

    /// Runs a command that is no example.
    fn prepares(&self, line: &str) {
        let (code, told) = self.run(line);
        assert_eq!(code, 0, "{line}: {told}");
    }

    /// Starts what runs until the end, and waits until it has said all that is shown; where nothing is, until it serves.
    fn starts(&self, example: &Example) {
        let plates = || fs::read_dir(self.path("run/p2p")).map_or(0, Iterator::count);
        let before = plates();
        let (mut child, out) = self.begin(&format!("exec {}", example.command));
        let serves = || match &example.shown[..] {
            [] => plates() > before,
            shown => {
                let told = fs::read_to_string(&out).unwrap();
                let lines: Vec<&str> = told.lines().collect();
                (0..=lines.len()).any(|end| is_as_shown(shown, &lines[..end]))
            }
        };
        for _ in 0..LIMIT.as_millis() / 20 {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{example:?} has ended: {}", fs::read_to_string(&out).unwrap());
            if serves() {
                self.running.lock().unwrap().push((child, out));
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{example:?} printed: {}", fs::read_to_string(&out).unwrap());
    }

    /// Runs a command, and compares what it says with what is shown. What `sleep N;` stands before is tried until it is so:
    /// N seconds are for a machine that does nothing else.
    fn plays(&self, example: &Example) {
        let goes_on = ["p2p init", "p2p join", "p2p up", "p2p watch", "p2p dht serve", "target/release/p2p join"];
        if goes_on.iter().any(|begin| example.command.starts_with(begin)) {
            return self.starts(example);
        }
        // What people look at may be a moment old, and nodes that have just started do not know each other yet.
        let looks = ["p2p find", "p2p ping", "p2p dht"].iter().any(|begin| example.command.starts_with(begin));
        let (mut line, mut limit) = (example.command.as_str(), if looks { LOOK_AGAIN } else { Duration::ZERO });
        if let Some((first, (secs, last))) =
            line.split_once("; sleep ").and_then(|(first, rest)| Some((first, rest.split_once("; ")?)))
        {
            assert!(secs.parse::<u64>().is_ok(), "{example:?}");
            self.prepares(first);
            (line, limit) = (last, LIMIT);
        }
        let begun = std::time::Instant::now();
        loop {
            let (code, told) = self.run(line);
            let lines: Vec<&str> = told.lines().collect();
            if example.shown.is_empty() && code == 0 || !example.shown.is_empty() && is_as_shown(&example.shown, &lines)
            {
                return;
            }
            assert!(begun.elapsed() < limit, "{example:?}\nended with {code} and printed:\n{told}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The seven peers of the demo. Commands find one alone.
    fn seven(&self, found: u8) {
        for (peer, [first, second]) in common::SEVEN {
            let run = if peer == found { "run".to_owned() } else { format!("run/{peer}") };
            let line = format!(
                "mkdir -p {run} {peer}; cd {peer}; XDG_RUNTIME_DIR=$HOME/{run} exec p2p init {peer} {first} {second}"
            );
            self.running.lock().unwrap().push(self.begin(&line));
        }
        let all = || (self.run("p2p peers").1.matches("s ago  answers").count() == 6).then_some(());
        eventually(LIMIT, "the seven know each other", all);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // With it ends process 1 of their namespace, and so do all.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        for (mut child, out) in self.running.lock().unwrap().drain(..) {
            let _ = child.wait();
            let _ = fs::remove_file(out);
        }
    }
}

fn runs(stage: &Stage, block: &Block) {
    block.examples().iter().for_each(|example| stage.plays(example));
}

/// Each line starts a peer, by itself. Those whom it joins are there.
fn starts_peers(_: &Stage, block: &Block) {
    thread::scope(|scope| {
        for example in block.examples() {
            scope.spawn(move || {
                let stage = Stage::new();
                let known = match example.command.as_str() {
                    "p2p join 15 4 15" => "p2p init 4",
                    line if line.contains("10.0.0.7:12004") => "p2p init 4 --host 10.0.0.7",
                    line if line.contains("--remote 10.0.0.7") => "p2p join --kademlia --listen 10.0.0.7:12000",
                    line if line.contains("127.0.0.1:7001") => "p2p join --kademlia --listen 127.0.0.1:7001",
                    _ => "",
                };
                let own = match example.command.as_str() {
                    // Its port is taken at all addresses by whom it joins.
                    "p2p join --kademlia --remote 10.0.0.7" => format!("{} --listen :12001", example.command),
                    line => line.to_owned(),
                };
                if !known.is_empty() {
                    stage.starts(&Example { command: format!("env --chdir=files {known}"), shown: Vec::new() });
                }
                stage.starts(&Example { command: own, shown: Vec::new() });
            });
        }
    });
}

/// What is typed after `> ` is typed at peer 2, and what follows is in its log. Without a terminal it runs in the
/// background like the others, and tells of itself in other words.
fn types_at_the_demo(stage: &Stage, block: &Block) {
    stage.prepares("./init_peers.sh");
    // On a busy machine it takes a while until all have answered each other: before, a search may pass one over.
    for peer in [2, 4, 5, 8, 9, 14, 19] {
        let look = format!("p2p peers --peer {peer}");
        eventually(LIMIT, "all answer all", || (stage.run(&look).1.matches("  answers").count() == 6).then_some(()));
    }
    let mut begin = block.lines.iter().position(|line| line.starts_with("Ping requests sent")).unwrap();
    let log = || fs::read_to_string(stage.path("logs/2.log")).unwrap();
    while begin < block.lines.len() {
        if let Some(typed) = block.lines[begin].strip_prefix("> ") {
            stage.prepares(&format!("echo '{typed}' >logs/2.in"));
            begin += 1;
        }
        let end = block.lines[begin..].iter().position(|line| line.starts_with("> "));
        let end = end.map_or(block.lines.len(), |end| begin + end);
        for shown in &block.lines[begin..end] {
            let said = |line: &str| line.strip_prefix("> ").unwrap_or(line) == shown;
            eventually(LIMIT, shown, || log().lines().any(said).then_some(()));
        }
        begin = end;
    }
    assert_eq!(fs::read(stage.path("received_4103.pdf")).unwrap(), fs::read(stage.path("files/4103.pdf")).unwrap());
    stage.prepares("./init_peers.sh stop");
}

fn walks_on_through_the_demo(stage: &Stage, block: &Block) {
    stage.prepares("./init_peers.sh");
    eventually(LIMIT, "all know all", || stage.run("p2p peers --peer 8").1.contains("6 contacts").then_some(()));
    for example in block.examples() {
        stage.plays(&example);
        if example.command.contains("join") {
            // Whoever reads takes longer to type on.
            let knows = || stage.run("p2p ring --peer 8").1.contains(" 15 ").then_some(());
            eventually(LIMIT, "8 knows 15", knows);
        }
    }
    stage.prepares("./init_peers.sh stop");
}

fn stores_in_a_ring(stage: &Stage, block: &Block) {
    stage.seven(8);
    fs::write(stage.path("report.pdf"), noise(18_200_000, 1)).unwrap();
    fs::create_dir(stage.path("photos")).unwrap();
    fs::write(stage.path("photos/one"), noise(100_000, 2)).unwrap();
    runs(stage, block);
    assert!(fs::read(stage.path("copy.pdf")).unwrap() == noise(18_200_000, 1));
}

fn looks_at_a_ring(stage: &Stage, block: &Block) {
    stage.seven(5);
    stage.prepares("p2p store - --name 2067 <files/2067.pdf");
    for example in block.examples() {
        if example.command == "p2p watch peer" {
            let victim = "kill -9 $(pgrep -f '^p2p init 9 ')";
            thread::scope(|scope| {
                scope.spawn(|| stage.starts(&example));
                // It listens long before a death is noticed, which takes seconds.
                stage.prepares(victim);
            });
        } else {
            stage.plays(&example);
        }
    }
}

/// Peer 4 as the page has it.
fn starts_peer_4(stage: &Stage) {
    stage.starts(&Example { command: "p2p init 4 --http 8080".to_owned(), shown: Vec::new() });
    let is_token = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "token");
    let token = || fs::read_dir(stage.path("run/p2p")).ok()?.flatten().find(is_token);
    eventually(LIMIT, "its token lies beside its plate", token);
}

/// Peer 4 as the page has it, with a file. Afterwards the peer may have been asked to quit.
fn with_peer_4(stage: &Stage) {
    starts_peer_4(stage);
    let (_, page) = PAGES[1];
    let variables = blocks("", page).remove(1).lines.join("\n");
    *stage.prelude.lock().unwrap() = variables;
    fs::write(stage.path("report.pdf"), noise(1_000_000, 3)).unwrap();
    fs::create_dir(stage.path("photos")).unwrap();
    stage.prepares("curl -fsS -T report.pdf -H \"$TOKEN\" $P2P/f/report.pdf");
}

fn has_no_output(stage: &Stage, block: &Block) {
    starts_peer_4(stage);
    *stage.prelude.lock().unwrap() = block.lines.join("\n");
    stage.prepares("[ ${#TOKEN} -gt 30 ] && curl -fsS $P2P/healthz");
}

/// Each is answered, and not with an error.
fn asks_a_peer(stage: &Stage, block: &Block) {
    with_peer_4(stage);
    for Example { command, .. } in block.examples() {
        let home = stage.home.path().display().to_string();
        let socket = "$(basename $XDG_RUNTIME_DIR/p2p/*.sock)";
        let line = command.replace("/home/me", &home).replace("4711.sock", socket).replacen("curl ", "curl -fsS ", 1);
        // A peer of a ring of one has nobody to ping but itself, and what was removed is wanted again.
        let line = line.replace(r#"{"peer":"14"}"#, r#"{"peer":"127.0.0.1:12015"}"#);
        if line.contains("-C -") {
            stage.prepares("truncate -s 5000 report.pdf");
        }
        if line.contains("/v1/ping") {
            stage.starts(&Example { command: "env --chdir=files p2p join 15 4".to_owned(), shown: Vec::new() });
        }
        let (code, told) = stage.run(&line);
        assert!(code == 0 && !told.contains(r#""event":"error""#), "{line}\nended with {code}: {told}");
        if line.contains("/v1/rm") {
            stage.prepares("curl -fsS -T report.pdf -H \"$TOKEN\" $P2P/f/report.pdf");
        }
    }
}

/// They never end by themselves: 124 is what `timeout` ends with. On a busy machine nothing may be said in a second.
fn hears_events(stage: &Stage, block: &Block) {
    with_peer_4(stage);
    for Example { command, .. } in block.examples() {
        let is_heard = [1, 5, 20].into_iter().any(|seconds| {
            let (code, told) = stage.run(&format!("timeout {seconds} {}", command.replacen("curl ", "curl -fsS ", 1)));
            assert_eq!(code, 124, "{command}: {told}");
            // Else there may be nothing to tell.
            !command.contains("since=0") || told.contains("data: {")
        });
        assert!(is_heard, "{command}: nothing is told");
    }
}

/// The form of an event, all but its numbers.
fn hears_of_a_death(stage: &Stage, block: &Block) {
    stage.starts(&Example { command: "p2p init 4 9 4 --http 8080".to_owned(), shown: Vec::new() });
    let other = stage.begin("mkdir -p 9/run; cd 9; XDG_RUNTIME_DIR=$PWD/run exec p2p init 9 4 9");
    stage.running.lock().unwrap().push(other);
    let know = || stage.run("p2p peers").1.contains("s ago  answers").then_some(());
    eventually(LIMIT, "they know each other", know);
    stage.prepares("kill -9 $(pgrep -f '^p2p init 9 ')");
    let told = || {
        let (_, told) = stage.run("timeout 3 curl -fsSN 'http://127.0.0.1:8080/v1/events?since=0'");
        told.contains("peer.dead").then_some(told)
    };
    let told = eventually(LIMIT, "it is told", told);
    let data = told.lines().find_map(|line| line.strip_prefix("data: ").filter(|line| line.contains("peer.dead")));
    let keys = |line: &str| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let hex = |word: &String| word.len() > 4 && word.starts_with("0900");
    let form = |line: &str| keys(line).into_iter().filter(|word| !hex(word)).collect::<Vec<_>>();
    let shown = block.lines.iter().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert_eq!(form(data.unwrap()), form(shown));
}

/// The tables take minutes; tests/simulation.rs makes them. Here each name is known.
fn names_tables(stage: &Stage, block: &Block) {
    for name in block.lines[0].strip_prefix("p2p sim ").unwrap().split(" | ") {
        let (code, told) = stage.run(&format!("p2p sim {name} --effort 0.001 --seed x"));
        assert!(code == 2 && told.contains("'--seed <SEED>'"), "{name}: {code} {told}");
    }
}

#[test]
fn every_example_is_run_or_named_with_a_reason() {
    let curl = Command::new("curl").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !is_root() || !curl.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: needs root, for namespaces, and curl");
    }
    let all: Vec<Block> = PAGES.iter().flat_map(|(page, text)| blocks(page, text)).collect();
    let mut told: Vec<&str> = STORIES.iter().map(|(name, _)| *name).chain(NOT_RUN.map(|(name, _)| name)).collect();
    let mut there: Vec<&str> = all.iter().map(|block| block.name.as_str()).collect();
    told.sort_unstable();
    there.sort_unstable();
    assert_eq!(told, there, "say above how a new example is run");
    thread::scope(|scope| {
        for block in &all {
            if let Some((_, story)) = STORIES.iter().find(|(name, _)| *name == block.name) {
                let thread = thread::Builder::new().name(block.name.clone());
                thread.spawn_scoped(scope, move || story(&Stage::new(), block)).unwrap();
            }
        }
    });
}
