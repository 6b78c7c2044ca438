//! `p2p up`: a whole local network, each peer a process of this program, until it is told to end.
//!
//! No peer outlives it: each leaves when its standard input ends, and that is held open here, so it ends however this
//! process does.

use super::args::local::Up;
use super::repl::INTERRUPTED;
use super::speech;
use super::tell::clean;
use super::who::DEFAULT_PORT;
use super::{FAILED, client};
use crate::live;
use serde_json::json;
use std::env;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The demo ring.
const SEVEN: [u8; 7] = [2, 4, 5, 8, 9, 14, 19];

/// How far apart base ports are tried.
const PORT_STEP: u16 = 1000;

/// How often is looked whether a peer has ended. Guess: soon enough for who watches.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the peers may take to leave: each a few seconds, on a machine that is busy with all of them.
const LEAVING: Duration = Duration::from_secs(20);

/// Where their output goes, in the working folder.
const LOGS: &str = "logs";

/// What one of them is called, and its process.
struct Member {
    number: u8,
    addr: SocketAddr,
    http: Option<SocketAddr>,
    child: Child,
}

/// Runs them until Ctrl-C or SIGTERM, or until the last has ended.
pub fn run(up: &Up) -> ExitCode {
    match serve(up) {
        Ok(code) => code,
        Err(reason) => {
            speech::aside(&clean(&reason));
            ExitCode::from(FAILED)
        }
    }
}

fn serve(up: &Up) -> Result<ExitCode, String> {
    let numbers = numbers(up.count);
    let base_port = base_port(up, &numbers)?;
    let end = told_to_end()?;
    let logs = up.dir.join(LOGS);
    fs::create_dir_all(&logs).map_err(|error| format!("cannot make {}: {error}", logs.display()))?;
    let mut members = Vec::new();
    for at in 0..numbers.len() {
        let started = start(up, base_port, &numbers, at, &logs);
        let member = started.inspect_err(|_| leave(&mut members, up.json))?;
        say(up.json, &member.json("peer.started"), &member.line());
        members.push(member);
    }
    if !up.json {
        let first = numbers[0];
        speech::aside(&format!("{} peers; what they print is in {}", members.len(), logs.display()));
        speech::aside(&format!("in another terminal:   p2p ring --peer {first}      p2p store FILE --peer {first}"));
        speech::aside("Ctrl-C lets them leave and ends");
    }
    let code = watch(up, &mut members, &end);
    leave(&mut members, up.json);
    Ok(code)
}

/// Receives the exit code when we are told to end.
fn told_to_end() -> Result<Receiver<u8>, String> {
    let runtime = live::runtime().map_err(|error| format!("cannot start: {error}"))?;
    let (told, end) = mpsc::channel();
    // Heard from now on.
    let signalled = {
        let _guard = runtime.enter();
        client::signalled()
    };
    thread::spawn(move || {
        let code = runtime.block_on(signalled);
        // Who is told to end is polite: only Ctrl-C has a code of its own.
        let code = if i32::from(code) == INTERRUPTED { code } else { 0 };
        // It may have ended by itself.
        let _ = told.send(code);
    });
    Ok(end)
}

/// The peers' numbers, in the order of the ring.
fn numbers(count: Option<u16>) -> Vec<u8> {
    match count {
        None => SEVEN.to_vec(),
        Some(count) => (0..count).map(|at| u8::try_from(at * 256 / count).expect("less than 256")).collect(),
    }
}

/// The base port that was given; or the first of several where all ports are free.
fn base_port(up: &Up, numbers: &[u8]) -> Result<u16, String> {
    let free = |base: u16| numbers.iter().all(|number| is_free(up.host, base + u16::from(*number)));
    if let Some(base) = up.base_port {
        let fits = base.checked_add(255).is_some();
        return if fits { Ok(base) } else { Err(format!("ports from {base} on are beyond 65535: say a lower one")) };
    }
    let bases = (DEFAULT_PORT..=u16::MAX - 255).step_by(PORT_STEP.into());
    bases
        .into_iter()
        .find(|base| free(*base))
        .ok_or_else(|| "no range of ports is free: name one with --base-port".to_owned())
}

/// Whether a peer could listen there.
pub fn is_free(host: IpAddr, port: u16) -> bool {
    UdpSocket::bind((host, port)).is_ok() && TcpListener::bind((host, port)).is_ok()
}

fn start(up: &Up, base_port: u16, numbers: &[u8], at: usize, logs: &Path) -> Result<Member, String> {
    let number = numbers[at];
    let next = |step: usize| numbers[(at + step) % numbers.len()].to_string();
    let cannot = |error: io::Error| format!("cannot start peer {number}: {error}");
    let log = File::create(logs.join(format!("{number}.log"))).map_err(cannot)?;
    let mut command = Command::new(env::current_exe().map_err(cannot)?);
    command.arg("init").arg(number.to_string());
    if numbers.len() > 1 {
        command.args([next(1), next(2), up.interval.as_secs_f64().to_string()]);
    }
    command.args(["--exit-on-eof", "--host", &up.host.to_string(), "--base-port", &base_port.to_string()]);
    if up.kademlia {
        command.arg("--kademlia");
    }
    let port = up.http.map(|first| first + u16::try_from(at).expect("256 peers at most"));
    let http = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    if let Some(http) = http {
        command.arg("--http").arg(http.to_string());
    }
    // Only one process can answer at a port.
    command.env_remove("P2P_HTTP");
    // In a group of its own: Ctrl-C is for us, who let it leave.
    command.arg("--dir").arg(&up.dir).process_group(0);
    command.stdin(Stdio::piped()).stdout(log.try_clone().map_err(cannot)?).stderr(log);
    let addr = SocketAddr::new(up.host, base_port + u16::from(number));
    Ok(Member { number, addr, http, child: command.spawn().map_err(cannot)? })
}

/// Tells who ends by itself. Returns when it is time to go.
fn watch(up: &Up, members: &mut Vec<Member>, end: &Receiver<u8>) -> ExitCode {
    loop {
        match end.recv_timeout(LOOK_EVERY) {
            Ok(code) => return ExitCode::from(code),
            Err(RecvTimeoutError::Disconnected) => return ExitCode::from(FAILED),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let gone = |member: &mut Member| match member.child.try_wait() {
            Ok(Some(status)) => {
                let why = why(status);
                let log = PathBuf::from(LOGS).join(format!("{}.log", member.number));
                say(
                    up.json,
                    &member.json("peer.ended"),
                    &format!("peer {} has ended: {why} (see {})", member.number, log.display()),
                );
                true
            }
            Ok(None) | Err(_) => false,
        };
        members.retain_mut(|member| !gone(member));
        if members.is_empty() {
            return ExitCode::from(FAILED);
        }
    }
}

fn why(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Lets all of them leave, and ends those that do not in time.
fn leave(members: &mut Vec<Member>, json: bool) {
    if !json && !members.is_empty() {
        speech::aside(&format!("{} peers leave", members.len()));
    }
    members.iter_mut().for_each(|member| drop(member.child.stdin.take()));
    let begun = Instant::now();
    while !members.is_empty() && begun.elapsed() < LEAVING {
        members.retain_mut(|member| matches!(member.child.try_wait(), Ok(None)));
        thread::sleep(LOOK_EVERY);
    }
    for member in members {
        // An error: it has ended meanwhile.
        let _ = member.child.kill();
        let _ = member.child.wait();
    }
}

impl Member {
    fn line(&self) -> String {
        let http = self.http.map(|http| format!("  http://{http}")).unwrap_or_default();
        format!("peer {}  {}{http}  process {}", self.number, self.addr, self.child.id())
    }

    fn json(&self, event: &str) -> String {
        let (peer, addr, pid) = (self.number.to_string(), self.addr, self.child.id());
        json!({ "event": event, "peer": peer, "addr": addr, "http": self.http, "pid": pid }).to_string()
    }
}

fn say(json: bool, object: &str, line: &str) {
    speech::say(if json { object } else { line });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_over_the_ring_and_each_is_there_once() {
        assert_eq!(numbers(None), SEVEN);
        assert_eq!(numbers(Some(1)), [0]);
        assert_eq!(numbers(Some(4)), [0, 64, 128, 192]);
        for count in 1..=256 {
            let mut all = numbers(Some(count));
            all.dedup();
            assert_eq!(all.len(), usize::from(count));
        }
    }
}
