//! Peers as people name them on the command line: `8`, `HOST:PORT`, `8@HOST:PORT`.

use crate::ground::{Contact, Id, Naming};
use crate::live::Place;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use thiserror::Error;

/// The port of a peer without a number, and of a host that is named without a port. Numbered peers count from here.
pub const DEFAULT_PORT: u16 = 12000;

/// A peer, as named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// `8`: at its port of the numbered peers' host.
    Number(u8),
    /// `HOST:PORT`: its id is hashed from the address.
    Addr(SocketAddr),
    /// `8@HOST:PORT`: a numbered peer that is elsewhere.
    NumberAt(u8, SocketAddr),
}

/// Where numbered peers are found: peer n at port `base_port` + n of `host`.
#[derive(Clone, Copy, Debug)]
pub struct Where {
    /// Their address.
    pub host: IpAddr,
    /// The port of peer 0.
    pub base_port: u16,
}

impl Who {
    /// Where it listens. Fails where the number leads beyond the last port.
    pub fn addr(self, numbered: Where) -> Result<SocketAddr, String> {
        let Where { host, base_port } = numbered;
        match self {
            Who::Addr(addr) | Who::NumberAt(_, addr) => Ok(addr),
            Who::Number(number) => match base_port.checked_add(number.into()) {
                Some(port) => Ok(SocketAddr::new(host, port)),
                None => Err(format!("peer {number} has no port: {base_port} + {number} is more than 65535")),
            },
        }
    }

    /// Its id and where it listens.
    pub fn contact(self, numbered: Where) -> Result<Contact, String> {
        let addr = self.addr(numbered)?;
        let id = match self {
            Who::Number(number) | Who::NumberAt(number, _) => Id::numbered(number),
            Who::Addr(addr) => Id::hashed(addr.to_string().as_bytes()),
        };
        Ok(Contact { id, addr })
    }

    /// How the network of such a peer names its peers.
    pub fn naming(self) -> Naming {
        match self {
            Who::Number(_) | Who::NumberAt(..) => Naming::Numbered,
            Who::Addr(_) => Naming::Hashed,
        }
    }
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Who, String> {
        match text.split_once('@') {
            Some((number, place)) => Ok(Who::NumberAt(parse_number(number)?, resolve(place)?)),
            None if text.contains(':') => resolve(text).map(Who::Addr),
            None => parse_number(text).map(Who::Number),
        }
    }
}

/// A peer to be asked, as named on the command line. A host's name is looked up when it is used, not before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// `8`: at its port of the numbered peers' host.
    Number(u8),
    /// `HOST:PORT`, or `8@HOST:PORT`.
    There(Place),
}

impl Known {
    /// Where it can be asked. Fails where the number leads beyond the last port.
    pub fn place(self, numbered: Where) -> Result<Place, String> {
        match self {
            Known::Number(number) => Who::Number(number).addr(numbered).map(Place::from),
            Known::There(place) => Ok(place),
        }
    }
}

impl FromStr for Known {
    type Err = String;

    fn from_str(text: &str) -> Result<Known, String> {
        let there = |place: &str| match place.contains(':') {
            true => place_of(place, DEFAULT_PORT).map(Known::There),
            false => Err("say HOST:PORT".to_owned()),
        };
        match text.split_once('@') {
            Some((number, place)) => parse_number(number).and_then(|_| there(place)),
            None if text.contains(':') => there(text),
            None => parse_number(text).map(Known::Number),
        }
    }
}

/// The longest name of a host, in bytes (RFC 1035).
const MAX_NAME_BYTES: usize = 253;

/// A name or an address, with a port or without. Nothing is looked up.
pub fn place_of(text: &str, default_port: u16) -> Result<Place, String> {
    let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    if let Some(ip) = bare(text) {
        return Ok(Place::from(SocketAddr::new(ip, default_port)));
    }
    let (host, port) = match text.rsplit_once(':') {
        None => (text, default_port),
        Some((host, port)) => match port.parse() {
            Ok(port @ 1..) => (host, port),
            Ok(0) | Err(_) => return Err("HOST:PORT needs a port from 1 to 65535".to_owned()),
        },
    };
    if let Some(ip) = bare(host) {
        return Ok(Place::from(SocketAddr::new(ip, port)));
    }
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if host.is_empty() || host.len() > MAX_NAME_BYTES || !host.bytes().all(is_letter) {
        return Err(format!("{host:?} is no name of a host"));
    }
    Ok(Place { host: host.to_owned(), port })
}

/// The address of numbered peers: one, or the name of a host; of several an IPv4 one is preferred.
pub fn own_host(text: &str) -> Result<IpAddr, String> {
    if let Ok(ip) = text.parse() {
        return Ok(ip);
    }
    let found = resolve_all(text, DEFAULT_PORT)?;
    let best = found.iter().find(|addr| addr.is_ipv4()).or(found.first());
    best.map(SocketAddr::ip).ok_or_else(|| format!("{text} has no address"))
}

fn parse_number(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| "peers are numbered 0 to 255".to_owned())
}

/// Where a peer listens: `HOST:PORT`, or `:PORT` for all addresses of both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub addr: SocketAddr,
    /// And where else, in the other family.
    pub also: Option<SocketAddr>,
}

impl Default for Listen {
    fn default() -> Listen {
        Listen::everywhere(DEFAULT_PORT)
    }
}

impl Listen {
    fn everywhere(port: u16) -> Listen {
        let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Listen { addr, also: Some(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let port = |text: &str| text.parse().map_err(|_| "a port is a number from 0 to 65535".to_owned());
        match text.rsplit_once(':') {
            Some(("", number)) => Ok(Listen::everywhere(port(number)?)),
            Some(_) => {
                let mut found = text.to_socket_addrs().map_err(|error| format!("no such HOST:PORT ({error})"))?;
                let addr = found.next().ok_or("this host has no address")?;
                Ok(Listen { addr, also: None })
            }
            None => Err("say HOST:PORT, or :PORT".to_owned()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.also {
            Some(_) => write!(f, ":{}", self.addr.port()),
            None => self.addr.fmt(f),
        }
    }
}

/// All addresses of a host: a name or an address, with a port or without.
pub fn resolve_all(place: &str, default_port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = place.trim_matches(['[', ']']).parse() {
        return Ok(vec![SocketAddr::new(ip, default_port)]);
    }
    let found = if place.contains(':') { place.to_socket_addrs() } else { (place, default_port).to_socket_addrs() };
    let found = found.map_err(|error| format!("no such host: {place} ({error})"))?;
    let usable: Vec<SocketAddr> = found.filter(|addr| addr.port() != 0).collect();
    if usable.is_empty() { Err(format!("{place} has no address and port to ask at")) } else { Ok(usable) }
}

/// The same with a host's name replaced by its address; what is no `HOST:PORT` as it is.
pub fn resolved(peer: &str) -> Result<String, Unresolved> {
    match peer {
        "" => Err(Unresolved::NoPlace("a peer has a number, an id or HOST:PORT: say one".to_owned())),
        // An id has no colon, and an address without a port is no peer.
        place if place.contains(':') => look_up(place).map(|addr| addr.to_string()),
        called => Ok(called.to_owned()),
    }
}

/// Why nobody can be asked there.
#[derive(Debug, Error)]
pub enum Unresolved {
    /// It is no host with a port.
    #[error("{0}")]
    NoPlace(String),
    /// Nobody has this name now.
    #[error("no such HOST:PORT ({0})")]
    Unknown(io::Error),
}

/// Looks a name up; of several addresses an IPv4 one is preferred, as numbered peers have.
fn resolve(place: &str) -> Result<SocketAddr, String> {
    look_up(place).map_err(|error| error.to_string())
}

fn look_up(place: &str) -> Result<SocketAddr, Unresolved> {
    if place.contains(char::is_whitespace) {
        return Err(Unresolved::NoPlace("no such HOST:PORT (no host has blanks in its name)".to_owned()));
    }
    let found = place.to_socket_addrs().map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => Unresolved::NoPlace(format!("no such HOST:PORT ({error})")),
        _ => Unresolved::Unknown(error),
    })?;
    let found: Vec<SocketAddr> = found.filter(|addr| addr.port() != 0).collect();
    let best = found.iter().find(|addr| addr.is_ipv4()).or(found.first());
    best.copied().ok_or_else(|| Unresolved::NoPlace("HOST:PORT needs a port from 1 to 65535".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERED: Where = Where { host: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), base_port: 12000 };

    fn contact(text: &str) -> Contact {
        text.parse::<Who>().unwrap().contact(NUMBERED).unwrap()
    }

    #[test]
    fn a_number_is_an_id_and_a_port() {
        assert_eq!(contact("8"), Contact { id: Id::numbered(8), addr: "127.0.0.1:12008".parse().unwrap() });
        assert_eq!(contact("8@[::1]:9"), Contact { id: Id::numbered(8), addr: "[::1]:9".parse().unwrap() });
    }

    #[test]
    fn an_address_alone_is_hashed() {
        assert_eq!(contact("127.0.0.1:9").id, Id::hashed(b"127.0.0.1:9"));
        assert_eq!("127.0.0.1:9".parse::<Who>().unwrap().naming(), Naming::Hashed);
    }

    #[test]
    fn a_place_to_listen_may_be_everywhere() {
        let listen = |text: &str| text.parse::<Listen>().unwrap();
        assert_eq!(listen(":7"), Listen::everywhere(7));
        assert_eq!(listen("127.0.0.1:0"), Listen { addr: "127.0.0.1:0".parse().unwrap(), also: None });
        assert_eq!(listen("[::1]:7").addr, "[::1]:7".parse().unwrap());
        for text in [":7", "127.0.0.1:0", "[::1]:7"] {
            assert_eq!(listen(text).to_string(), text);
        }
        assert!(["", ":", ":x", ":65536", "7", "127.0.0.1"].iter().all(|text| text.parse::<Listen>().is_err()));
    }

    #[test]
    fn a_host_needs_no_port() {
        let first = |place| resolve_all(place, 12000).map(|addrs| addrs[0].to_string());
        assert_eq!(first("10.0.0.7"), Ok("10.0.0.7:12000".to_owned()));
        assert_eq!(first("10.0.0.7:9"), Ok("10.0.0.7:9".to_owned()));
        assert_eq!(first("::1"), Ok("[::1]:12000".to_owned()));
        assert_eq!(first("[::1]"), Ok("[::1]:12000".to_owned()));
        assert_eq!(first("[::1]:9"), Ok("[::1]:9".to_owned()));
        assert!(first("localhost").is_ok_and(|addr| addr.ends_with(":12000")));
        assert!(["", ":9", "10.0.0.7:0", "10.0.0.7:x"].into_iter().all(|place| first(place).is_err()));
    }

    #[test]
    fn a_name_is_not_looked_up_before_it_is_used() {
        let place = |text| place_of(text, 12000).map(|place| place.to_string());
        assert_eq!(place("nobody.invalid"), Ok("nobody.invalid:12000".to_owned()));
        assert_eq!(place("peer_1:9"), Ok("peer_1:9".to_owned()));
        assert_eq!(place("::1"), Ok("[::1]:12000".to_owned()));
        assert_eq!(place("[::1]"), Ok("[::1]:12000".to_owned()));
        assert_eq!(place("[::1]:9"), Ok("[::1]:9".to_owned()));
        assert_eq!(place("10.0.0.7:9"), Ok("10.0.0.7:9".to_owned()));
        let long = "x".repeat(254);
        for text in ["", ":9", "a:0", "a:x", "a:65536", "a b", "a:b:9", "é:9", &long] {
            assert!(place(text).is_err(), "{text}");
        }
        let known = |text: &str| text.parse::<Known>().and_then(|known| known.place(NUMBERED));
        assert_eq!(known("8").unwrap().to_string(), "127.0.0.1:12008");
        assert_eq!(known("8@nobody.invalid:9").unwrap().to_string(), "nobody.invalid:9");
        assert!(["nobody.invalid", "8@nobody.invalid", "256@a:9"].into_iter().all(|text| known(text).is_err()));
    }

    #[test]
    fn numbered_peers_have_one_address() {
        assert_eq!(own_host("::1"), Ok("::1".parse().unwrap()));
        assert!(own_host("localhost").unwrap().is_loopback());
        assert!(own_host("nobody.invalid").is_err());
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "256", "-1", "eight", "8@", "@127.0.0.1:9", "8@127.0.0.1", "127.0.0.1:0", "1.5", "127.0.0.1:x"]
        {
            assert!(text.parse::<Who>().is_err(), "{text}");
        }
    }
}
