//! `p2p doctor`: what could keep a peer from working well on this machine, and what to do about it.

use super::FAILED;
use super::args::Environment;
use super::args::files::Stranger;
use super::args::local::Doctor;
use super::speech;
use super::tell::{clean, size};
use super::up::is_free;
use crate::live;
use crate::web;
use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{self, ExitCode};
use std::time::{Duration, Instant, SystemTime};

/// Fewer handles than that run out: transfers, callers and files at once. Guess: what is bounded in a peer, doubled.
const HANDLES: u64 = 512;
/// A disk with less room than that is as good as full. Guess.
const LITTLE_SPACE: u64 = 100 << 20;
/// An fsync that takes longer makes stores slow: each waits for several. Guess: a spinning disk takes 20 ms.
const SLOW_FSYNC: Duration = Duration::from_millis(50);
/// How many are timed; the middle one counts.
const FSYNCS: usize = 9;
/// A UDP buffer below that loses datagrams while a peer hashes. Guess: what Linux has without being told.
const UDP_BUFFER: u64 = 212_992;
/// How long a datagram to ourselves may take.
const LOOPBACK: Duration = Duration::from_secs(1);
/// A clock behind this was never set: 2025-01-01, in seconds since 1970.
const CLOCK_AFTER_S: u64 = 1_735_689_600;
/// An address for documentation (RFC 5737): to ask which of ours would be used, without sending anything.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    Warning,
    Problem,
}

/// What was looked at.
#[derive(Debug)]
struct Finding {
    what: &'static str,
    state: State,
    found: String,
    /// What to do.
    advice: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Finding {
        Finding { what, state: State::Ok, found: found.into(), advice: None }
    }

    fn warning(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { what, state: State::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    fn problem(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { what, state: State::Problem, found: found.into(), advice: Some(advice.into()) }
    }

    fn line(&self) -> String {
        let state = match self.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Problem => "problem",
        };
        let advice = self.advice.as_ref().map(|advice| format!(": {advice}")).unwrap_or_default();
        clean(&format!("{state:<8} {:<9} {}{advice}", self.what, self.found))
    }

    fn object(&self) -> String {
        let state = match self.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Problem => "problem",
        };
        let Finding { what, found, advice, .. } = self;
        json!({ "event": "finding", "what": what, "state": state, "found": found, "advice": advice }).to_string()
    }
}

/// Looks at everything, and tells it.
pub fn run(doctor: &Doctor, environment: Environment) -> ExitCode {
    let mut findings = vec![peers(), files(environment.files)];
    findings.extend(environment.strangers.into_iter().map(variable));
    findings.extend(ports(doctor));
    findings.extend([network(doctor), ipv6(), buffers(), handles(), clock(&doctor.dir)]);
    findings.extend(folder(&doctor.dir));
    let problems = findings.iter().filter(|finding| finding.state == State::Problem).count();
    findings.iter().for_each(|finding| speech::say(&if doctor.json { finding.object() } else { finding.line() }));
    if doctor.json {
        speech::say(&json!({ "event": "done", "outcome": if problems == 0 { "good" } else { "failed" } }).to_string());
    }
    if problems == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn variable(Stranger { name, meant }: Stranger) -> Finding {
    let advice = match meant {
        Some(meant) => format!("did you mean {meant}?"),
        None => "p2p config show lists the settings, and each has a variable".to_owned(),
    };
    Finding::warning("variable", format!("{name} says nothing to any command"), advice)
}

fn peers() -> Finding {
    let running = live::runtime().map_err(|error| error.to_string());
    let running = running.and_then(|runtime| runtime.block_on(web::running()).map_err(|error| error.to_string()));
    match running {
        Ok(running) if running.is_empty() => Finding::ok("peers", "none of yours runs"),
        Ok(running) => {
            let names: Vec<&str> = running.iter().map(|plate| plate.name.as_str()).collect();
            Finding::ok("peers", format!("of yours run: {}", names.join(" ")))
        }
        Err(reason) => Finding::problem("peers", "cannot be looked for", reason),
    }
}

fn files(settings: Result<(), String>) -> Finding {
    match settings {
        Ok(()) => Finding::ok("settings", "what p2p.toml says can be used, if there is one"),
        Err(reason) => Finding::problem("settings", "stop every other command", reason),
    }
}

fn ports(doctor: &Doctor) -> Vec<Finding> {
    let listen = doctor.listen.addr;
    let nameless = match is_free(listen.ip(), listen.port()) {
        true => Finding::ok("port", format!("{} is free, UDP and TCP", doctor.listen)),
        false => {
            let advice = "a peer without a number needs another one (--listen), if it is not yours that runs there";
            Finding::warning("port", format!("{} is in use", doctor.listen), advice)
        }
    };
    let last = doctor.base_port.saturating_add(u8::MAX.into());
    let taken: Vec<String> = (doctor.base_port..=last)
        .filter(|port| !is_free(doctor.host, *port))
        .map(|port| (port - doctor.base_port).to_string())
        .collect();
    let all = format!("{} to {last} of {}", doctor.base_port, doctor.host);
    let numbered = match taken.len() {
        0 => Finding::ok("ports", format!("{all} are free, for peers 0 to 255")),
        count if count < 128 => Finding::ok("ports", format!("{all}: in use are those of {}", taken.join(" "))),
        count => {
            let advice = "give numbered peers others with --base-port, or this machine's address with --host";
            Finding::warning("ports", format!("{all}: {count} are in use, or not ours to use"), advice)
        }
    };
    vec![nameless, numbered]
}

/// Datagrams come back from the address that others would see.
fn network(doctor: &Doctor) -> Finding {
    let outward = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(ELSEWHERE)?;
        socket.local_addr()
    });
    let Ok(outward) = outward else {
        return Finding::warning("network", "there is no way out of this machine", "peers find only each other here");
    };
    let own = outward.ip();
    match echo(own) {
        Ok(()) => {
            let port = doctor.listen.addr.port();
            let advice = format!("a firewall must let UDP and TCP {port} through for them");
            Finding { advice: Some(advice), ..Finding::ok("network", format!("others see this machine as {own}")) }
        }
        Err(error) => Finding::problem(
            "network",
            format!("a datagram to {own}, which is this machine, does not arrive ({error})"),
            "let UDP through its firewall",
        ),
    }
}

/// Sends a datagram to ourselves.
fn echo(own: IpAddr) -> io::Result<()> {
    let [from, to] = [UdpSocket::bind((own, 0))?, UdpSocket::bind((own, 0))?];
    to.set_read_timeout(Some(LOOPBACK))?;
    from.send_to(b"p2p", to.local_addr()?)?;
    to.recv(&mut [0; 3]).map(drop)
}

fn ipv6() -> Finding {
    match echo(Ipv6Addr::LOCALHOST.into()) {
        Ok(()) => Finding::ok("ipv6", "works here"),
        Err(_) => Finding::warning("ipv6", "is off", "peers that only have IPv6 are out of reach"),
    }
}

fn buffers() -> Finding {
    let number = |name: &str| fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?.trim().parse::<u64>().ok();
    match number("rmem_max") {
        None => Finding::ok("buffers", "this system does not say how large UDP's may be"),
        Some(most) if most >= UDP_BUFFER => Finding::ok("buffers", format!("UDP's may have {}", size(most))),
        Some(most) => Finding::warning(
            "buffers",
            format!("UDP's may have only {}", size(most)),
            format!("datagrams get lost under load; as root: sysctl net.core.rmem_max={UDP_BUFFER}"),
        ),
    }
}

fn handles() -> Finding {
    let limit = getrlimit(Resource::Nofile);
    match limit.current {
        Some(soft) if soft < HANDLES => {
            Finding::problem("handles", format!("{soft} files may be open at once"), format!("ulimit -n {HANDLES}"))
        }
        Some(soft) => Finding::ok("handles", format!("{soft} files may be open at once")),
        None => Finding::ok("handles", "any number of files may be open"),
    }
}

/// Nothing between peers depends on clocks: they only date what is told.
fn clock(dir: &Path) -> Finding {
    let now = SystemTime::now();
    let set = now.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.as_secs() > CLOCK_AFTER_S);
    let latest =
        fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok()?.modified().ok());
    let ahead = latest.max().is_some_and(|latest| latest > now + Duration::from_secs(60));
    let advice = "set it: what is logged has wrong dates";
    match (set, ahead) {
        (false, _) => Finding::warning("clock", "was never set", advice),
        (true, true) => Finding::warning("clock", "files of this folder are from its future", advice),
        (true, false) => Finding::ok("clock", "is set"),
    }
}

fn folder(dir: &Path) -> Vec<Finding> {
    let shown = dir.display();
    let sync = match syncs(dir) {
        Err(error) => {
            let advice = "name another folder with --dir, or make this one yours";
            return vec![Finding::problem("folder", format!("{shown} cannot be written in ({error})"), advice)];
        }
        Ok(took) if took > SLOW_FSYNC => Finding::warning(
            "fsync",
            format!("takes {:.1} ms in {shown}", took.as_secs_f64() * 1000.0),
            "stores wait for it: a folder on another disk is faster",
        ),
        Ok(took) => Finding::ok("fsync", format!("takes {:.1} ms in {shown}", took.as_secs_f64() * 1000.0)),
    };
    let space = statvfs(dir).map(|about| about.f_bavail.saturating_mul(about.f_frsize));
    let space = match space {
        Ok(free) if free < LITTLE_SPACE => {
            Finding::problem("space", format!("{} are free in {shown}", size(free)), "make room, or name another --dir")
        }
        Ok(free) => Finding::ok("space", format!("{} are free in {shown}", size(free))),
        Err(error) => Finding::warning("space", format!("is not known in {shown}"), error.to_string()),
    };
    vec![space, sync]
}

/// How long it takes until a few bytes are durable.
fn syncs(dir: &Path) -> io::Result<Duration> {
    let path = dir.join(format!(".p2p-doctor-{}", process::id()));
    let time = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let mut took = Vec::new();
        for _ in 0..FSYNCS {
            let begun = Instant::now();
            file.write_all(&[0; 4096])?;
            file.sync_all()?;
            took.push(begun.elapsed());
        }
        took.sort();
        Ok(took[FSYNCS / 2])
    };
    let took = time();
    // What was never made need not go.
    let _ = fs::remove_file(&path);
    took
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_a_problem_and_another_one_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let missing = folder(&dir.path().join("missing"));
        assert_eq!(missing.iter().map(|finding| finding.state).collect::<Vec<_>>(), [State::Problem]);
        assert!(missing[0].line().starts_with("problem  folder    "), "{}", missing[0].line());
        assert!(folder(dir.path()).iter().all(|finding| finding.what != "folder"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_port_that_is_in_use_is_told() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        assert!(!is_free(addr.ip(), addr.port()));
        drop(taken);
        assert!(is_free(addr.ip(), addr.port()));
    }
}
