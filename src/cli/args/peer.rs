//! The command line, read and checked to the end: what comes out can be started.

use super::simulate::Sim;
use super::who::{Where, Who};
use crate::ground::{Contact, Naming};
use crate::live::{Config, Folders, Kind};
use crate::peer::Start;
use clap::error::ErrorKind;
use clap::{Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::env;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  p2p init 2 4 5 15      Peer 2 of a ring that starts together: its successors are 4 and 5, it pings every 15 s
  p2p init 2             Peer 2 begins a ring of its own
  p2p join 15 4          Peer 15 joins the ring that peer 4 is in
  p2p join 15 10.0.0.7:12004 --host 10.0.0.8
                         The same between machines

Type at a running peer:  Store FILE   Request NAME   Quit";

/// A group of machines keeps files without any server.
#[derive(Parser)]
#[command(name = "p2p", version, before_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run a peer of a ring that starts together, or of a ring of its own
    Init(Init),
    /// Run a peer that joins a ring
    Join(Join),
    /// Let a made-up network live, and sum it up
    Sim(Sim),
}

/// What a command line wants.
pub enum Wanted {
    /// A running peer.
    Peer(Box<Config>),
    /// A simulation.
    Sim(Sim),
}

#[derive(Args)]
#[command(before_help = EXAMPLES, allow_negative_numbers = true, override_usage = "p2p init [OPTIONS] <PEER> [<FIRST> <SECOND> [<INTERVAL>]]")]
struct Init {
    /// The peer's number, 0 to 255 (or HOST:PORT, or N@HOST:PORT)
    peer: Who,
    /// Its first successor
    #[arg(requires = "second")]
    first: Option<Who>,
    /// Its second successor; the peer itself in a ring of two
    second: Option<Who>,
    /// Seconds between two rounds of pings
    #[arg(value_parser = interval, default_value = "15")]
    interval: Duration,
    #[command(flatten)]
    options: PeerOptions,
}

#[derive(Args)]
#[command(before_help = EXAMPLES, allow_negative_numbers = true)]
struct Join {
    /// The peer's number, 0 to 255 (or HOST:PORT, or N@HOST:PORT)
    peer: Who,
    /// A peer of the ring: its number, or HOST:PORT
    known: Who,
    /// Seconds between two rounds of pings
    #[arg(value_parser = interval, default_value = "15")]
    interval: Duration,
    #[command(flatten)]
    options: PeerOptions,
}

#[derive(Args)]
#[command(next_help_heading = "Peer options")]
struct PeerOptions {
    /// Working folder: sources of Store, copies that Request brings, the peer's own store in .p2p
    #[arg(long, env = "P2P_DIR", default_value = ".")]
    dir: PathBuf,
    /// Route with all contacts known, not one hop at a time [default: off for numbered peers]
    #[arg(long, env = "P2P_FINGERS")]
    fingers: Option<Switch>,
    /// How many peers keep a file
    #[arg(long, env = "P2P_REPLICAS", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=16))]
    replicas: u8,
    /// Address of numbered peers
    #[arg(long, env = "P2P_HOST", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port of peer 0; peer N listens on this one + N
    #[arg(long, env = "P2P_BASE_PORT", default_value = "12000", value_parser = clap::value_parser!(u16).range(1..))]
    base_port: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Reads a command line, the program's own name first. What is wrong is told with the usage; exit code 2.
pub fn parse(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Wanted, clap::Error> {
    let mut command = without_empty_variables(CommandLine::command());
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let matches = command.try_get_matches_from_mut(&words);
    // Whose usage to tell, if something is wrong.
    let task = words.get(1).and_then(|word| command.find_subcommand_mut(word));
    let matches = match (matches, task) {
        (Err(error), Some(task)) if error.use_stderr() => return Err(with_usage(task, error)),
        (matches, _) => matches?,
    };
    let (name, config) = match CommandLine::from_arg_matches(&matches)?.task {
        Task::Init(init) => ("init", init.config()),
        Task::Join(join) => ("join", join.config()),
        Task::Sim(sim) => return Ok(Wanted::Sim(sim)),
    };
    config.map(|config| Wanted::Peer(Box::new(config))).map_err(|reason| {
        let task = command.find_subcommand_mut(name).expect("it was just parsed");
        task.error(ErrorKind::ValueValidation, reason)
    })
}

/// The same error followed by the usage, which clap leaves out where a single value is wrong.
fn with_usage(task: &mut Command, error: clap::Error) -> clap::Error {
    let text = error.to_string();
    if text.contains("Usage:") {
        return error;
    }
    let message = text.trim_start_matches("error: ").split("\n\nFor more").next().unwrap_or_default();
    task.error(error.kind(), message)
}

/// An empty variable is an unset one; clap would read it as an empty value.
fn without_empty_variables(command: Command) -> Command {
    command.mut_subcommands(|command| {
        command.mut_args(|arg| match arg.get_env().and_then(env::var_os) {
            Some(value) if value.is_empty() => arg.env(None::<&'static str>),
            _ => arg,
        })
    })
}

impl Init {
    fn config(self) -> Result<Config, String> {
        let range = self.options.range();
        let own = self.peer.contact(range)?;
        let successors = match (self.first, self.second) {
            (Some(first), Some(second)) if [first, second].iter().any(|who| who.naming() != self.peer.naming()) => {
                return Err("either all peers have numbers (8, or 8@HOST:PORT) or none has".to_owned());
            }
            (Some(first), Some(second)) => ring_of(own, first.contact(range)?, second.contact(range)?)?,
            _ => Vec::new(),
        };
        self.options.config(self.peer.naming(), own, Start::Ring(successors), self.interval)
    }
}

impl Join {
    fn config(self) -> Result<Config, String> {
        let range = self.options.range();
        let own = self.peer.contact(range)?;
        let known = self.known.addr(range)?;
        if known == own.addr {
            return Err("a peer cannot join itself: name another peer of the ring".to_owned());
        }
        self.options.config(self.peer.naming(), own, Start::Join(known), self.interval)
    }
}

/// The successors to start with: none in a ring of one, one in a ring of two.
fn ring_of(own: Contact, first: Contact, second: Contact) -> Result<Vec<Contact>, String> {
    match (first.id == own.id, second.id == own.id) {
        (true, true) => Ok(Vec::new()),
        (false, true) => Ok(vec![first]),
        (true, false) => Err("a peer is its own first successor only in a ring of one".to_owned()),
        (false, false) if first.id == second.id => Err("the two successors are the same peer".to_owned()),
        (false, false) if own.id.clockwise_to(second.id) < own.id.clockwise_to(first.id) => {
            Err("the successors are not in ring order: going round from the peer, the first successor comes \
                 before the second (perhaps exchange them)"
                .to_owned())
        }
        (false, false) => Ok(vec![first, second]),
    }
}

impl PeerOptions {
    fn range(&self) -> Where {
        Where { host: self.host, base_port: self.base_port }
    }

    fn config(self, naming: Naming, own: Contact, start: Start, ping_interval: Duration) -> Result<Config, String> {
        let Contact { id, addr } = own;
        let fingers = match self.fingers {
            Some(Switch::On) => true,
            Some(Switch::Off) => false,
            None => naming == Naming::Hashed,
        };
        let folders = Folders::new(&self.dir, addr.port());
        let overlay = Kind::Ring { fingers };
        Ok(Config { id, naming, start, addr, folders, ping_interval, overlay, replicas: self.replicas.into() })
    }
}

/// Guess: pings closer together than this would only be noise.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(interval) if interval >= SHORTEST_INTERVAL => Ok(interval),
        Ok(_) => Err(format!("an interval is at least {} s", SHORTEST_INTERVAL.as_secs_f64())),
        Err(_) => Err("an interval is a positive, finite number of seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Id;
    use std::net::SocketAddr;

    fn read(line: &str) -> Result<Config, clap::Error> {
        parse(line.split_whitespace()).map(|wanted| match wanted {
            Wanted::Peer(config) => *config,
            Wanted::Sim(sim) => panic!("{line} starts no peer: {sim:?}"),
        })
    }

    fn refused(line: &str) -> String {
        let error = read(line).err().unwrap_or_else(|| panic!("accepted: {line}"));
        assert_eq!(error.exit_code(), 2, "{line}");
        let text = error.to_string();
        assert!(text.contains("Usage: p2p") || text.starts_with("Examples"), "{line}: {text}");
        text
    }

    fn successors(line: &str) -> Vec<Option<u8>> {
        let Start::Ring(contacts) = read(line).unwrap().start else { panic!("{line}") };
        contacts.iter().map(|contact| contact.id.number()).collect()
    }

    #[test]
    fn the_assignments_lines_are_read() {
        let config = read("p2p init 2 4 5 15").unwrap();
        assert_eq!(config.id, Id::numbered(2));
        assert_eq!(config.addr, "127.0.0.1:12002".parse().unwrap());
        assert_eq!(config.ping_interval, Duration::from_secs(15));
        assert_eq!(
            (config.naming, config.overlay, config.replicas),
            (Naming::Numbered, Kind::Ring { fingers: false }, 3)
        );
        assert_eq!(successors("p2p init 2 4 5 15"), [Some(4), Some(5)]);
        assert_eq!(successors("p2p init 14 19 2 15"), [Some(19), Some(2)]);
        assert_eq!(successors("p2p init 19 2 4"), [Some(2), Some(4)]);

        let config = read("p2p join 15 4 0.5").unwrap();
        assert_eq!(config.ping_interval, Duration::from_millis(500));
        assert!(matches!(config.start, Start::Join(known) if known == "127.0.0.1:12004".parse().unwrap()));
        assert_eq!(read("p2p join 0 255").unwrap().ping_interval, Duration::from_secs(15));
    }

    #[test]
    fn small_rings_have_their_forms() {
        assert_eq!(successors("p2p init 2"), []);
        assert_eq!(successors("p2p init 2 2 2 15"), []);
        assert_eq!(successors("p2p init 2 4 2"), [Some(4)]);
        assert_eq!(successors("p2p init 4 2 4"), [Some(2)]);
    }

    #[test]
    fn wrong_numbers_and_orders_are_refused() {
        for line in [
            "p2p",
            "p2p dance",
            "p2p init",
            "p2p init 256",
            "p2p init -1",
            "p2p init two",
            "p2p init 2 4",
            "p2p init 2 4 500",
            "p2p init 2 2 4",
            "p2p init 2 4 4",
            "p2p init 2 4 5 0",
            "p2p init 2 4 5 -3",
            "p2p init 2 4 5 inf",
            "p2p init 2 4 5 nan",
            "p2p init 2 4 5 1e300",
            "p2p init 2 4 5 0.000001",
            "p2p init 2 4 5 soon",
            "p2p init 2 4 5 15 16",
            "p2p join 15",
            "p2p join 15 15",
            "p2p join 15 256",
            "p2p join 15 4 0",
            "p2p init 2 --replicas 0",
            "p2p init 2 --replicas 17",
            "p2p init 2 --fingers maybe",
            "p2p init 2 --host nowhere",
            "p2p init 2 --base-port 0",
            "p2p init 200 --base-port 65400",
            "p2p init 2 4@127.0.0.1:0 5",
            "p2p init 2 127.0.0.1:12004 5",
        ] {
            refused(line);
        }
        assert!(refused("p2p init 2 5 4").contains("not in ring order"));
        assert!(refused("p2p init 14 2 19").contains("not in ring order"));
    }

    #[test]
    fn options_widen_the_ring_to_other_addresses() {
        let config =
            read("p2p init 2 4@127.0.0.9:700 5 --host 127.0.0.8 --base-port 500 --fingers on --replicas 16").unwrap();
        assert_eq!(config.addr, "127.0.0.8:502".parse().unwrap());
        assert_eq!((config.overlay, config.replicas), (Kind::Ring { fingers: true }, 16));
        let Start::Ring(contacts) = config.start else { panic!() };
        let addrs: Vec<SocketAddr> = contacts.iter().map(|contact| contact.addr).collect();
        assert_eq!(addrs, ["127.0.0.9:700".parse().unwrap(), "127.0.0.8:505".parse().unwrap()]);
        let config = read("p2p join 7@127.0.0.1:800 127.0.0.1:900 --dir here").unwrap();
        assert_eq!((config.id, config.addr.port()), (Id::numbered(7), 800));
        assert_eq!(config.folders.store, PathBuf::from("here/.p2p/800"));
    }

    #[test]
    fn without_a_number_the_id_is_hashed_from_the_address() {
        let config = read("p2p join 127.0.0.1:7000 127.0.0.1:7001").unwrap();
        assert_eq!(config.id, Id::hashed(b"127.0.0.1:7000"));
        assert_eq!((config.naming, config.overlay), (Naming::Hashed, Kind::Ring { fingers: true }));
        let without = read("p2p init 127.0.0.1:7000 --fingers off").unwrap();
        assert_eq!(without.overlay, Kind::Ring { fingers: false });
    }

    #[test]
    fn help_begins_with_examples() {
        let help = read("p2p --help").unwrap_err();
        assert_eq!(help.exit_code(), 0);
        assert!(help.to_string().starts_with("Examples:"));
    }
}
