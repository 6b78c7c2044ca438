//! The options of peers in the foreground.

use super::dht::timeout;
use super::kademlia::KademliaOptions;
use super::{AtEnd, Manner};
use crate::cli::who::{DEFAULT_PORT, Known, Listen, Where, Who, own_host, place_of};
use crate::ground::address_id::is_one_hosts;
use crate::ground::{Contact, Naming};
use crate::live::{Beginning, Config, Folders, Identity, Kind, Limits, Place, RingTuning};
use crate::store::scrub::Pace;
use crate::web::Settings;
use clap::builder::FalseyValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

const INIT: &str = "\
Examples:
  p2p init 2 4 5 15      Peer 2 of a ring that starts together: its successors are 4 and 5, it pings every 15 s
  p2p init 4 5 2 15      Peer 4 of the same ring; peer 5 says: p2p init 5 2 4 15
  p2p init 2 8 2         Peer 2 of a ring of two; peer 8 says: p2p init 8 2 8
  p2p init 2             A ring of its own, which others join
  p2p init 2 4@10.0.0.8:12004 5@10.0.0.9:12005 --host 10.0.0.7
                         Between machines
  p2p init 2 4 5 15 --kademlia
                         The same in a Kademlia network

Type at a running peer:  Store FILE   Request NAME   set KEY VALUE   get KEY   Quit";

const JOIN: &str = "\
Examples:
  p2p join 15 4          Peer 15 joins the ring that peer 4 is in
  p2p join 15 4 5        The same, and it pings every 5 s
  p2p join 15 10.0.0.7:12004 --host 10.0.0.8
                         Between machines
  p2p join 15 --remote files.example
                         By a name, which is looked up again; also from P2P_REMOTE_HOST
  p2p join --kademlia --remote 10.0.0.7
                         A peer of a Kademlia network, at port 12000; without --remote it creates one

Type at a running peer:  Store FILE   Request NAME   set KEY VALUE   get KEY   Quit";

#[derive(Args)]
#[command(before_help = INIT, allow_negative_numbers = true, override_usage = "p2p init [OPTIONS] <PEER> [<FIRST> <SECOND> [<INTERVAL>]]")]
/// A peer that starts with others, or alone.
pub struct Init {
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
#[command(before_help = JOIN, allow_negative_numbers = true)]
/// A peer that joins.
pub struct Join {
    /// The peer's number, 0 to 255 (or HOST:PORT, or N@HOST:PORT); with --kademlia it can do without
    peer: Option<Who>,
    /// A peer of the network: its number, or HOST:PORT; without it and --remote the peer creates a network
    known: Option<Known>,
    /// Seconds between two rounds of pings
    #[arg(value_parser = interval, default_value = "15")]
    interval: Duration,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    options: PeerOptions,
}

/// Where a peer listens, and whom it asks first.
#[derive(Args)]
pub struct PlaceOptions {
    /// A host of the network, where KNOWN is not given [default: none: create a network]
    #[arg(long, env = "P2P_REMOTE_HOST", value_name = "HOST[:PORT]", value_parser = remote)]
    remote: Option<Place>,
    /// Where a peer without a number listens; all addresses of IPv4 and IPv6 where HOST is left out
    #[arg(long, env = "P2P_LISTEN", value_name = "[HOST]:PORT", default_value_t)]
    listen: Listen,
}

#[derive(Args)]
#[command(next_help_heading = "Peer options")]
pub struct PeerOptions {
    /// Working folder: sources of Store, copies that Request brings, the peer's own store in .p2p
    #[arg(long, env = "P2P_DIR", default_value = ".")]
    dir: PathBuf,
    /// Route with all contacts known, not one hop at a time [default: off for numbered peers]
    #[arg(long, env = "P2P_FINGERS")]
    fingers: Option<Switch>,
    /// How many peers keep a file
    #[arg(long, env = "P2P_REPLICAS", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=16))]
    replicas: u8,
    /// Most bytes of files it keeps for the network: 500M, 10G (K, M, G, T of 1024) [default: as many as the disk has]
    #[arg(long, env = "P2P_QUOTA", value_name = "BYTES", value_parser = quota)]
    quota: Option<u64>,
    /// Address of numbered peers, or a name that has it
    #[arg(long, env = "P2P_HOST", default_value = "127.0.0.1", value_parser = own_host)]
    host: IpAddr,
    /// Where others reach it, if not where they see it: behind a published port; without PORT at the one where it listens
    #[arg(long, env = "P2P_ADVERTISE", value_name = "HOST[:PORT]", value_parser = advertised)]
    advertise: Option<Place>,
    /// Port of peer 0; peer N listens on this one + N
    #[arg(long, env = "P2P_BASE_PORT", default_value_t = DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    base_port: u16,
    /// Most bytes a second it sends in files: 500K, 1.5M (K, M, G, T of 1024) [default: no limit]
    #[arg(long, env = "P2P_LIMIT_UP", value_name = "BYTES", value_parser = rate)]
    limit_up: Option<u64>,
    /// Most bytes a second it receives in files
    #[arg(long, env = "P2P_LIMIT_DOWN", value_name = "BYTES", value_parser = rate)]
    limit_down: Option<u64>,
    /// Leave, as with Quit, when standard input ends
    #[arg(long, env = "P2P_EXIT_ON_EOF", value_parser = FalseyValueParser::new())]
    exit_on_eof: bool,
    /// Seconds in which SIGTERM lets it hand over and say goodbye; docker stop kills after 10
    #[arg(long, env = "P2P_LEAVE_WITHIN", value_name = "SECONDS", default_value = "8", value_parser = timeout)]
    leave_within: Duration,
    /// Answer HTTP there over TCP too; at this machine alone where HOST is left out [default: only at a Unix socket]
    #[arg(long, env = "P2P_HTTP", value_name = "[HOST:]PORT", value_parser = http_addr)]
    http: Option<SocketAddr>,
    /// A name by which HTTP is asked for here, apart from localhost and addresses; once for each
    #[arg(long, env = "P2P_HTTP_HOST", value_name = "NAME", value_delimiter = ',')]
    http_host: Vec<String>,
    /// Write what happens into this file too: a JSON object a line
    #[arg(long, env = "P2P_LOG_JSON", value_name = "FILE")]
    log_json: Option<PathBuf>,
    #[command(flatten)]
    kademlia: KademliaOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Checks what clap cannot: options given here that do not go together. Variables are meant for many commands, and
/// where they do not fit they say nothing.
pub fn check(matches: &ArgMatches) -> Result<(), String> {
    let given = |option: &str| {
        let source = matches.try_contains_id(option).is_ok().then(|| matches.value_source(option));
        source == Some(Some(ValueSource::CommandLine))
    };
    let kademlia = matches.get_flag("kademlia");
    if let Some(option) = KademliaOptions::TUNING.into_iter().find(|option| !kademlia && given(option)) {
        return Err(format!("--{option} needs --kademlia"));
    }
    if kademlia && given("fingers") {
        return Err("--fingers is about the ring: leave it out, or leave out --kademlia".to_owned());
    }
    if given("listen") && given("peer") {
        return Err("--listen is for peers without a number: others find theirs by --host and --base-port".to_owned());
    }
    if given("remote") && given("known") {
        return Err("--remote and a known peer say the same: leave out one of them".to_owned());
    }
    Ok(())
}

impl Init {
    /// How it can be asked, and how it ends.
    pub fn manner(&self) -> Manner {
        self.options.manner()
    }

    /// How the peer starts.
    pub fn config(self) -> Result<Config, String> {
        let range = self.options.range();
        let own = Own::named(self.peer, range)?;
        let successors = match (self.first, self.second) {
            (Some(first), Some(second)) if [first, second].iter().any(|who| who.naming() != self.peer.naming()) => {
                return Err("either all peers have numbers (8, or 8@HOST:PORT) or none has".to_owned());
            }
            (Some(first), Some(second)) => {
                ring_of(self.peer.contact(range)?, first.contact(range)?, second.contact(range)?)?
            }
            _ => Vec::new(),
        };
        self.options.config(own, Beginning::Ring(successors), self.interval)
    }
}

impl Join {
    /// How it can be asked, and how it ends.
    pub fn manner(&self) -> Manner {
        self.options.manner()
    }

    /// How the peer starts.
    pub fn config(self) -> Result<Config, String> {
        let range = self.options.range();
        let own = match self.peer {
            Some(peer) => Own::named(peer, range)?,
            None if self.options.kademlia.on => Own::nameless(self.place.listen),
            None => return Err("a peer of a ring has a number (p2p join 15 4); or say --kademlia".to_owned()),
        };
        let known = match (self.known, self.place.remote) {
            (Some(known), _) => Some(known.place(range)?),
            (None, remote) => remote,
        };
        let start = match known {
            Some(known) if known.addr() == Some(own.addr) => {
                return Err("a peer cannot join itself: name another peer of the network".to_owned());
            }
            Some(known) => Beginning::Join(vec![known]),
            None => Beginning::Ring(Vec::new()),
        };
        self.options.config(own, start, self.interval)
    }
}

/// Who a peer is and where it listens.
struct Own {
    identity: Identity,
    naming: Naming,
    addr: SocketAddr,
    also: Option<SocketAddr>,
}

impl Own {
    fn named(who: Who, range: Where) -> Result<Own, String> {
        let Contact { id, addr } = who.contact(range)?;
        Ok(Own { identity: Identity::Given(id), naming: who.naming(), addr, also: None })
    }

    fn nameless(Listen { addr, also }: Listen) -> Own {
        Own { identity: Identity::Kept { bits: crate::ground::Id::BITS }, naming: Naming::Hashed, addr, also }
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
    fn manner(&self) -> Manner {
        let web = Settings { http: self.http, names: self.http_host.clone(), log: self.log_json.clone() };
        let at_end = if self.exit_on_eof { AtEnd::Leave } else { AtEnd::ServeOn };
        Manner { web, at_end, leave_within: self.leave_within }
    }

    fn range(&self) -> Where {
        Where { host: self.host, base_port: self.base_port }
    }

    fn config(self, own: Own, start: Beginning, ping_interval: Duration) -> Result<Config, String> {
        let Own { identity, naming, addr, also } = own;
        let tuning = match (self.fingers, naming) {
            (Some(Switch::On), _) | (None, Naming::Hashed) => RingTuning::DEFAULT,
            (Some(Switch::Off), _) | (None, _) => RingTuning::CLASSIC,
        };
        let overlay = if self.kademlia.on { self.kademlia.kind() } else { Kind::Ring(tuning) };
        let identity = if self.kademlia.on { self.kademlia.room(identity)? } else { identity };
        let naming = naming_in(overlay, naming);
        let folders = Folders::new(&self.dir, addr.port());
        let replicas = self.replicas.into();
        let (quota, scrub) = (self.quota, Pace::default());
        let limits = Limits { up: self.limit_up, down: self.limit_down };
        let advertise = self.advertise;
        check_family(advertise.as_ref(), [Some(addr), also])?;
        Ok(Config {
            identity,
            naming,
            start,
            addr,
            also,
            advertise,
            folders,
            ping_interval,
            overlay,
            replicas,
            quota,
            scrub,
            limits,
        })
    }
}

/// How a network of this kind names peers whose command lines name them so.
fn naming_in(overlay: Kind, naming: Naming) -> Naming {
    match (overlay, naming) {
        (Kind::Kademlia(_), Naming::Numbered) => Naming::NumberedPeers,
        (Kind::Kademlia(_) | Kind::Ring(_), naming) => naming,
    }
}

/// Guess: pings closer together than this would only be noise.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// The lowest limit. Below it those who wait for bytes would take us for dead.
const LOWEST_RATE: u64 = 10 << 10;

/// Bytes a second, perhaps with a fraction and the letter of a unit.
fn rate(text: &str) -> Result<u64, String> {
    let units = [('K', 1_u64 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];
    let unit = |(letter, unit): (char, u64)| Some((text.strip_suffix([letter, letter.to_ascii_lowercase()])?, unit));
    let (digits, unit) = units.into_iter().find_map(unit).unwrap_or((text, 1));
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let bytes =
        digits.parse::<f64>().ok().filter(|number| plain && number.is_finite()).map(|number| number * unit as f64);
    match bytes.map(|bytes| bytes as u64) {
        Some(bytes) if bytes >= LOWEST_RATE => Ok(bytes),
        Some(_) => Err(format!("at least {}K a second, or nothing gets through", LOWEST_RATE >> 10)),
        None => Err("not a number of bytes a second: write 1.5M, 500K, or all its digits".to_owned()),
    }
}

/// A number of bytes, perhaps with the letter of a unit.
fn quota(text: &str) -> Result<u64, String> {
    let units = [('K', 1_u64 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];
    let unit = |(letter, unit): (char, u64)| Some((text.strip_suffix([letter, letter.to_ascii_lowercase()])?, unit));
    let (digits, unit) = units.into_iter().find_map(unit).unwrap_or((text, 1));
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| "not a number of bytes: write 10G, 500M, or all its digits".to_owned())
}

/// A host of the network.
fn remote(text: &str) -> Result<Place, String> {
    place_of(text, DEFAULT_PORT)
}

/// Where others reach this peer; port 0: the one where it listens.
fn advertised(text: &str) -> Result<Place, String> {
    let place = place_of(text, 0)?;
    match place.addr() {
        Some(addr) if !is_one_hosts(addr.ip()) => {
            Err(format!("nobody reaches one peer at {}: say an address that leads to this one, or a name", addr.ip()))
        }
        Some(_) | None => Ok(place),
    }
}

/// Those who could use an advertised address must be among those who could ask here.
fn check_family(advertised: Option<&Place>, own: [Option<SocketAddr>; 2]) -> Result<(), String> {
    let Some(addr) = advertised.and_then(Place::addr) else { return Ok(()) };
    if own.into_iter().flatten().any(|own| own.is_ipv4() == addr.is_ipv4()) {
        return Ok(());
    }
    let (said, listens) = if addr.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
    Err(format!("--advertise says an {said} address, but this peer listens at {listens} alone: say one of {listens}"))
}

/// An address, or a port of this machine alone.
fn http_addr(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    let addr = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|_| text.parse());
    addr.map_err(|_| "not an address: write 8080, 127.0.0.1:8080, or [::]:8080".to_owned())
}

/// Seconds between two rounds of pings.
pub fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(interval) if interval >= SHORTEST_INTERVAL => Ok(interval),
        Ok(_) => Err(format!("an interval is at least {} s", SHORTEST_INTERVAL.as_secs_f64())),
        Err(_) => Err("an interval is a positive, finite number of seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;
    use crate::ground::Id;
    use crate::live::{Eviction, Tuning};
    use std::net::SocketAddr;

    fn given(number: u8) -> Identity {
        Identity::Given(Id::numbered(number))
    }

    fn known(config: &Config) -> Vec<SocketAddr> {
        let Beginning::Join(known) = &config.start else { panic!("it creates a network") };
        known.iter().map(|place| place.addr().unwrap()).collect()
    }

    fn successors(line: &str) -> Vec<Option<u8>> {
        let Beginning::Ring(contacts) = read(line).unwrap().start else { panic!("{line}") };
        contacts.iter().map(|contact| contact.id.number()).collect()
    }

    #[test]
    fn the_assignments_lines_are_read() {
        let config = read("p2p init 2 4 5 15").unwrap();
        assert_eq!(config.identity, given(2));
        assert_eq!(config.addr, "127.0.0.1:12002".parse().unwrap());
        assert_eq!(config.ping_interval, Duration::from_secs(15));
        assert_eq!(
            (config.naming, config.overlay, config.replicas),
            (Naming::Numbered, Kind::Ring(RingTuning::CLASSIC), 3)
        );
        assert_eq!(successors("p2p init 2 4 5 15"), [Some(4), Some(5)]);
        assert_eq!(successors("p2p init 14 19 2 15"), [Some(19), Some(2)]);
        assert_eq!(successors("p2p init 19 2 4"), [Some(2), Some(4)]);

        let config = read("p2p join 15 4 0.5").unwrap();
        assert_eq!(config.ping_interval, Duration::from_millis(500));
        assert_eq!(known(&config), ["127.0.0.1:12004".parse().unwrap()]);
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
        assert_eq!((config.overlay, config.replicas), (Kind::Ring(RingTuning::DEFAULT), 16));
        let Beginning::Ring(contacts) = config.start else { panic!() };
        let addrs: Vec<SocketAddr> = contacts.iter().map(|contact| contact.addr).collect();
        assert_eq!(addrs, ["127.0.0.9:700".parse().unwrap(), "127.0.0.8:505".parse().unwrap()]);
        let config = read("p2p join 7@127.0.0.1:800 127.0.0.1:900 --dir here").unwrap();
        assert_eq!((config.identity, config.addr.port()), (given(7), 800));
        assert_eq!(config.folders.store, PathBuf::from("here/.p2p/800"));
    }

    #[test]
    fn an_advertised_place_is_one_that_others_can_ask() {
        let place = |text: &str| read(&format!("p2p join --kademlia --advertise {text}")).unwrap().advertise.unwrap();
        let said = |host: &str, port| Place { host: host.to_owned(), port };
        assert_eq!(place("files.example:13000"), said("files.example", 13000));
        assert_eq!(place("10.0.0.7"), said("10.0.0.7", 0));
        assert_eq!(place("[fd00::7]:9"), said("fd00::7", 9));
        assert_eq!(read("p2p init 2").unwrap().advertise, None);
        for text in ["0.0.0.0:12000", "[::]:9", "224.0.0.1", "255.255.255.255:9"] {
            let refusal = refused(&format!("p2p init 2 --advertise {text}"));
            assert!(refusal.contains("nobody reaches one peer at"), "{refusal}");
        }
        for text in ["10.0.0.7:0", "10.0.0.7:x", ":9", "a b", "http://a"] {
            assert!(refused(&format!("p2p init 2 --advertise '{text}'")).contains("--advertise"), "{text}");
        }
        assert!(refused("p2p init 2 --advertise [fd00::7]:9").contains("this peer listens at IPv4 alone"));
        assert!(read("p2p init 2 --advertise fd00::7 --host ::1").is_ok());
    }

    #[test]
    fn a_limit_is_a_number_of_bytes_a_second() {
        assert_eq!(read("p2p init 2").unwrap().limits, Limits::default());
        for (text, bytes) in [("10M", 10 << 20), ("500k", 500 << 10), ("1.5G", 3 << 29), ("10240", 10 << 10)] {
            let limits = read(&format!("p2p init 2 --limit-up {text} --limit-down {text}")).unwrap().limits;
            assert_eq!(limits, Limits { up: Some(bytes), down: Some(bytes) }, "{text}");
        }
        for text in ["fast", "M", "inf", "1e9", "0", "1K"] {
            assert!(refused(&format!("p2p init 2 --limit-up {text}")).contains("--limit-up"), "{text}");
        }
    }

    #[test]
    fn a_quota_is_a_number_of_bytes_with_a_unit_or_without() {
        assert_eq!(read("p2p init 2").unwrap().quota, None);
        let quotas = [("10G", 10 << 30), ("500M", 500 << 20), ("7k", 7 << 10), ("1T", 1 << 40), ("0", 0), ("123", 123)];
        for (text, bytes) in quotas {
            assert_eq!(read(&format!("p2p init 2 --quota {text}")).unwrap().quota, Some(bytes), "{text}");
        }
        for text in ["ten", "G", "-1", "1.5G", "10GB", "99999999999T"] {
            assert!(refused(&format!("p2p init 2 --quota {text}")).contains("--quota"), "{text}");
        }
    }

    #[test]
    fn http_is_answered_at_this_machine_alone_unless_an_address_says_otherwise() {
        let places =
            [("8080", "127.0.0.1:8080"), (":0", "127.0.0.1:0"), ("0.0.0.0:1", "0.0.0.0:1"), ("[::1]:8", "[::1]:8")];
        for (text, addr) in places {
            assert_eq!(http_addr(text), Ok(addr.parse().unwrap()), "{text}");
        }
        for text in ["", "localhost:80", "127.0.0.1", "70000"] {
            assert!(refused(&format!("p2p init 2 --http={text}")).contains("--http"), "{text}");
        }
    }

    #[test]
    fn without_a_number_the_id_is_hashed_from_the_address() {
        let config = read("p2p join 127.0.0.1:7000 127.0.0.1:7001").unwrap();
        assert_eq!(config.identity, Identity::Given(Id::hashed(b"127.0.0.1:7000")));
        assert_eq!((config.naming, config.overlay), (Naming::Hashed, Kind::Ring(RingTuning::DEFAULT)));
        let without = read("p2p init 127.0.0.1:7000 --fingers off").unwrap();
        assert_eq!(without.overlay, Kind::Ring(RingTuning::CLASSIC));
    }

    #[test]
    fn kademlia_takes_the_same_lines() {
        for option in ["-k", "--kademlia"] {
            let config = read(&format!("p2p init 2 4 5 15 {option}")).unwrap();
            assert_eq!((config.identity, config.addr.port()), (given(2), 12002));
            assert_eq!((config.naming, config.overlay), (Naming::NumberedPeers, Kind::Kademlia(Tuning::default())));
            let config = read(&format!("p2p join 15 4 15 {option}")).unwrap();
            assert_eq!(known(&config), ["127.0.0.1:12004".parse().unwrap()]);
        }
        let line = "p2p join 127.0.0.1:7000 4 -k --k 20 --alpha 5 --bits 12 --eviction oldest --buckets wide";
        let config = read(line).unwrap();
        assert_eq!(config.overlay, Kind::Kademlia(Tuning { k: 20, alpha: 5, eviction: Eviction::Oldest, wide: true }));
        assert_eq!(config.identity, Identity::Given(Identity::truncated(Id::hashed(b"127.0.0.1:7000"), 12)));
    }

    #[test]
    fn kademlia_can_do_without_a_number() {
        let config = read("p2p join --kademlia --bits 16").unwrap();
        assert_eq!(config.identity, Identity::Kept { bits: 16 });
        assert_eq!(config.addr, "0.0.0.0:12000".parse().unwrap());
        assert_eq!(config.also, Some("[::]:12000".parse().unwrap()));
        assert!(matches!(config.start, Beginning::Ring(known) if known.is_empty()));

        let config = read("p2p join -k --remote 127.0.0.9 --listen 127.0.0.1:0").unwrap();
        assert_eq!((config.addr, config.also), ("127.0.0.1:0".parse().unwrap(), None));
        assert_eq!(known(&config), ["127.0.0.9:12000".parse().unwrap()]);
        let remotes = [("127.0.0.9:7", "127.0.0.9:7"), ("::1", "[::1]:12000"), ("[::1]:7", "[::1]:7")];
        for (remote, addr) in remotes {
            let config = read(&format!("p2p join -k --remote {remote}")).unwrap();
            assert_eq!(known(&config), [addr.parse().unwrap()]);
        }
        let config = read("p2p join 15 -k --remote 127.0.0.9").unwrap();
        assert_eq!((config.identity, known(&config)), (given(15), vec!["127.0.0.9:12000".parse().unwrap()]));
    }

    #[test]
    fn a_network_is_created_where_nobody_is_named_and_joined_by_name() {
        assert_eq!(successors("p2p join 15"), []);
        for line in ["p2p join 15 nobody.invalid:7", "p2p join 15 --remote nobody.invalid:7"] {
            let Beginning::Join(places) = read(line).unwrap().start else { panic!("{line}") };
            assert_eq!(places, [Place { host: "nobody.invalid".to_owned(), port: 7 }]);
        }
        assert!(refused("p2p join 15 --remote a:b:c").contains("--remote"));
    }

    #[test]
    fn what_is_kademlias_needs_kademlia() {
        for option in ["--k 8", "--alpha 3", "--bits 160", "--eviction ping", "--buckets plain"] {
            let text = refused(&format!("p2p join 15 4 {option}"));
            assert!(text.contains("needs --kademlia"), "{text}");
        }
        assert!(refused("p2p join 15 4 -k --fingers on").contains("--fingers"));
        assert!(refused("p2p join").contains("--kademlia"));
        for line in [
            "p2p init 2 -k --k 0",
            "p2p init 2 -k --k 33",
            "p2p init 2 -k --alpha 0",
            "p2p init 2 -k --alpha 17",
            "p2p init 2 -k --bits 3",
            "p2p init 2 -k --bits 161",
            "p2p init 15 -k --bits 7",
            "p2p init 2 -k --eviction never",
            "p2p init 2 -k --buckets round",
            "p2p init -k",
            "p2p join 15 4 -k --listen :7000",
            "p2p join 15 4 -k --remote 127.0.0.1",
            "p2p join -k --listen 7000",
            "p2p join -k --listen 127.0.0.1",
            "p2p join -k --remote 127.0.0.1:x",
        ] {
            refused(line);
        }
        // In its own room.
        assert_eq!(read("p2p init 16 -k --bits 4").unwrap().identity, given(16));
    }
}
