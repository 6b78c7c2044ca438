//! A peer as containers and service managers have it: process 1, neighbours by name, word of being ready, an image.

mod common;

use common::pages::{Block, Example, blocks, is_as_shown};
use common::{Lab, Peer, SOON, eventually, is_root, noise, program, through};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

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

/// Where the Dockerfile takes the binary from.
const BINARY: &str = "target/x86_64-unknown-linux-musl/release/p2p";

/// How the binary for images is built.
const STATIC: [&str; 4] = ["build", "--release", "--target", "x86_64-unknown-linux-musl"];

/// How long containers may take for what is shown of them: for their health, three looks ten seconds apart.
const SETTLED: Duration = Duration::from_secs(90);

/// Engines are heavy: one at a time.
static ONE_ENGINE: Mutex<()> = Mutex::new(());

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers").join(name)
}

/// A folder for `docker build` with the binary under test and, for it is not static, the libraries that it loads.
fn context() -> TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let here = TempDir::new().unwrap();
    let put = |from: &Path, at: &Path| {
        let at = here.path().join(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::copy(from, at).unwrap();
    };
    let program = Path::new(env!("CARGO_BIN_EXE_p2p"));
    put(program, Path::new(BINARY));
    // What debuggers want is most of it; where nobody can strip it, it goes as it is.
    let _ = Command::new("strip").arg(here.path().join(BINARY)).status();
    for name in ["Dockerfile", "compose.yaml", "contrib/container/data/.keep", "contrib/container/run/.keep"] {
        put(&root.join(name), Path::new(name));
    }
    let loads = Command::new("ldd").arg(program).output().unwrap();
    let loads = String::from_utf8(loads.stdout).unwrap();
    for library in loads.split_whitespace().filter(|word| word.starts_with('/')) {
        put(Path::new(library), &Path::new("contrib/container").join(&library[1..]));
    }
    here
}

/// Runs the story of three containers with an image of that folder.
fn three_containers(context: &Path) {
    let _one = ONE_ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    let ended = Command::new(script("engine.sh")).arg(script("run.sh")).arg(context).output().unwrap();
    let text = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    eprintln!("{text}");
    let code = ended.status.code();
    assert!(code == Some(0) || code == Some(NO_ENGINE), "{code:?}");
}

#[test]
fn containers_find_one_another_by_name_and_serve_on_when_one_is_cut_off() {
    three_containers(context().path());
}

#[test]
#[ignore = "nightly: builds the static binary that the image is meant for"]
fn the_image_of_a_static_binary_does_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built =
        Command::new(env!("CARGO")).args(STATIC).current_dir(root).env("CC_x86_64_unknown_linux_musl", "gcc").output();
    if !built.as_ref().is_ok_and(|built| built.status.success()) {
        return eprintln!("skipped: no static binary (rustup target add x86_64-unknown-linux-musl): {built:?}");
    }
    three_containers(root);
}

/// A Docker engine, and a folder where its client is used. It ends when nobody talks to it any more.
struct Engine {
    process: Child,
    host: String,
    here: TempDir,
}

impl Engine {
    fn start() -> Option<Engine> {
        let mut command = Command::new(script("engine.sh"));
        command.args(["sh", "-c", "echo $DOCKER_HOST; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut host = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut host).unwrap();
        if host.is_empty() {
            assert_eq!(process.wait().unwrap().code(), Some(NO_ENGINE));
            return None;
        }
        Some(Engine { process, host: host.trim().to_owned(), here: context() })
    }

    /// Runs a command to its end: how that was, and all it printed.
    fn run(&self, line: &str) -> (i32, String) {
        // The Compose of Debian is a program of its own.
        let compose =
            r#"docker() { if [ "$1" = compose ]; then docker-compose "${@:2}"; else command docker "$@"; fi; }"#;
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{compose}\n{line}")]).current_dir(self.here.path());
        let output = command.env("DOCKER_HOST", &self.host).env("DOCKER_BUILDKIT", "0").output().unwrap();
        let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
        (output.status.code().unwrap_or(-1), text)
    }

    fn prepares(&self, line: &str) {
        let (code, told) = self.run(line);
        assert_eq!(code, 0, "{line}: {told}");
    }

    /// Runs a command until it prints what is shown; where nothing is, once, and well.
    fn plays(&self, example: &Example) {
        if example.shown.is_empty() {
            return self.prepares(&example.command);
        }
        let begun = Instant::now();
        loop {
            let (_, told) = self.run(&example.command);
            if is_as_shown(&example.shown, &told.lines().collect::<Vec<_>>()) {
                return;
            }
            assert!(begun.elapsed() < SETTLED, "{example:?}\nprinted at last:\n{told}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn plays_all(&self, block: &Block) {
        // The binary is there.
        let builds = |line: &str| line.starts_with("rustup") || line.starts_with("CC_");
        block.examples().iter().filter(|example| !builds(&example.command)).for_each(|example| self.plays(example));
    }

    fn clears(&self) {
        self.prepares("docker ps -aq | xargs -r docker rm -fv; docker network prune -f; docker volume prune -f");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

#[test]
fn the_page_about_containers_is_as_it_stands_there() {
    let _one = ONE_ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(engine) = Engine::start() else { return };
    fs::write(engine.here.path().join("report.pdf"), noise(3_000_000, 1)).unwrap();
    let page = blocks("", include_str!("../docs/p2p_setup.md"));
    let part = |heading: &str| page.iter().filter(|block| block.name.contains(heading)).collect::<Vec<_>>();
    let (walk, five, published) = (part("A walk"), part("Five peers"), part("Published ports"));
    assert_eq!((walk.len(), five.len(), published.len()), (6, 1, 1));
    assert_eq!(page.len(), 8, "say here how a new example is run");

    walk.iter().for_each(|block| engine.plays_all(block));
    assert!(fs::read(engine.here.path().join("copy.pdf")).unwrap() == noise(3_000_000, 1));

    engine.clears();
    published.iter().for_each(|block| engine.plays_all(block));
    let status =
        Example { command: "docker exec one /p2p status".into(), shown: vec!["peer …".into(), "…".into()] };
    engine.plays(&status);

    engine.clears();
    let readme = blocks("", include_str!("../README.md"));
    let readme = readme.iter().find(|block| block.name.contains("In containers")).unwrap();
    engine.plays_all(readme);

    engine.clears();
    if engine.run("docker compose version").0 != 0 {
        return eprintln!("skipped: there is no Docker Compose (apt-get install docker-compose)");
    }
    five.iter().for_each(|block| engine.plays_all(block));
}
