//! Peers as people name them on the command line: `8`, `HOST:PORT`, `8@HOST:PORT`.

use crate::ground::{Contact, Id, Naming};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

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

fn parse_number(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| "peers are numbered 0 to 255".to_owned())
}

/// Looks a name up; of several addresses an IPv4 one is preferred, as numbered peers have.
fn resolve(place: &str) -> Result<SocketAddr, String> {
    let found: Vec<SocketAddr> = place
        .to_socket_addrs()
        .map_err(|error| format!("no such HOST:PORT ({error})"))?
        .filter(|addr| addr.port() != 0)
        .collect();
    let best = found.iter().find(|addr| addr.is_ipv4()).or(found.first());
    best.copied().ok_or_else(|| "HOST:PORT needs a port from 1 to 65535".to_owned())
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
    fn what_is_neither_is_refused() {
        for text in ["", "256", "-1", "eight", "8@", "@127.0.0.1:9", "8@127.0.0.1", "127.0.0.1:0", "1.5", "127.0.0.1:x"]
        {
            assert!(text.parse::<Who>().is_err(), "{text}");
        }
    }
}
