//! The options of `p2p dht`.

use super::kademlia::{NodeTuning, id, unhex};
use crate::cli::who::resolve_all;
use crate::ground::{Id, Item};
use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  p2p dht serve --count 8                                  A network of eight nodes on this machine
  p2p dht put 'Hello World!' --bootstrap 127.0.0.1:6881    Prints the key
  p2p dht get e5f96f6f38320f0f33959cb4d3d656452117aadb --bootstrap 127.0.0.1:6881
  p2p dht get-peers INFOHASH --bootstrap router.bittorrent.com:6881,dht.transmissionbt.com:6881

The exit code tells: 0 done, 3 not there, 4 network out of reach, 7 refused, 124 timeout.";

const PUT: &str = "\
Examples:
  p2p dht put 'Hello World!' --bootstrap 127.0.0.1:6881    Prints the key
  p2p dht put - --bootstrap 127.0.0.1:6881 <value.txt      Reads the value from standard input
  P2P_SEED=HEX64 p2p dht put 'version 2' --salt news --bootstrap 127.0.0.1:6881
                                                           A value that can be changed";

const GET: &str = "\
Examples:
  p2p dht get e5f96f6f38320f0f33959cb4d3d656452117aadb --bootstrap 127.0.0.1:6881
  p2p dht get PUBLIC_KEY --salt news --bootstrap 127.0.0.1:6881
                                                           A value that can be changed, by its owner's key";

const ANNOUNCE: &str = "\
Examples:
  p2p dht announce INFOHASH 51413 --bootstrap 127.0.0.1:6881
  p2p dht announce INFOHASH 0 --seeder --bootstrap 127.0.0.1:6881
                                                           At the port that the question comes from";

const GET_PEERS: &str = "\
Examples:
  p2p dht get-peers INFOHASH --bootstrap router.bittorrent.com:6881,dht.transmissionbt.com:6881
  p2p dht get-peers INFOHASH --scrape --bootstrap 127.0.0.1:6881
                                                           How many they are, too";

const SAMPLE: &str = "\
Examples:
  p2p dht sample --bootstrap 127.0.0.1:6881                Torrents that are known near a random id
  p2p dht sample e5f96f6f38320f0f33959cb4d3d656452117aadb --bootstrap 127.0.0.1:6881";

const SERVE: &str = "\
Examples:
  p2p dht serve --count 8                                  A network of eight nodes on this machine
  p2p dht serve --listen 0.0.0.0:6881 --bootstrap router.bittorrent.com:6881 --dir node
                                                           One node of the Mainline DHT, which keeps its id";

/// Port of a bootstrap node that is named without one: what most BitTorrent programs use.
const USUAL_PORT: u16 = 6881;

/// What shall be done in a Mainline DHT.
#[derive(Subcommand, Debug)]
#[command(before_help = EXAMPLES)]
pub enum Dht {
    /// Keep a small value in the network, for about two hours (BEP 44)
    Put(Put),
    /// Find a value
    Get(Get),
    /// Say that a torrent can be had here (BEP 5)
    Announce(Announce),
    /// Find who has a torrent
    GetPeers(GetPeers),
    /// Find out what torrents are known near an id (BEP 51)
    Sample(Sample),
    /// Be one or many nodes, until Ctrl-C
    Serve(Serve),
}

/// What all of them need.
#[derive(Args, Debug)]
#[command(next_help_heading = "Network")]
pub struct Network {
    /// Nodes of the network
    #[arg(long, env = "P2P_BOOTSTRAP", value_name = "HOST:PORT", value_delimiter = ',')]
    bootstrap: Vec<String>,
    /// Be a full node: answer questions too
    #[arg(long)]
    pub full: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Seconds until an operation is given up
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = timeout)]
    pub timeout: Duration,
    #[command(flatten)]
    pub tuning: NodeTuning,
}

/// A value to be kept.
#[derive(Args, Debug)]
#[command(before_help = PUT, allow_negative_numbers = true)]
pub struct Put {
    /// The value; - reads it from standard input
    pub text: String,
    /// Makes it a value that can be changed, by whoever has this secret: 64 hexadecimal digits
    #[arg(long, env = "P2P_SEED", hide_env_values = true, value_name = "HEX", value_parser = bytes32)]
    pub seed: Option<Bytes32>,
    /// Tells several values of one secret apart
    #[arg(long, requires = "seed", default_value = "", value_parser = salt)]
    pub salt: Salt,
    /// The version [default: one more than the network has]
    #[arg(long, requires = "seed", value_parser = clap::value_parser!(i64).range(0..))]
    pub seq: Option<i64>,
    /// Only if the network has this version
    #[arg(long, requires = "seed", value_parser = clap::value_parser!(i64).range(0..))]
    pub cas: Option<i64>,
    #[command(flatten)]
    pub network: Network,
}

/// A value to be found.
#[derive(Args, Debug)]
#[command(before_help = GET)]
pub struct Get {
    /// Its key: 40 hexadecimal digits, or the public key of one that can be changed: 64
    pub key: Key,
    /// The salt of a value that can be changed
    #[arg(long, default_value = "", value_parser = salt)]
    pub salt: Salt,
    #[command(flatten)]
    pub network: Network,
}

/// A torrent to be announced.
#[derive(Args, Debug)]
#[command(before_help = ANNOUNCE)]
pub struct Announce {
    /// Which: its info-hash, 40 hexadecimal digits
    #[arg(value_parser = id)]
    pub info_hash: Id,
    /// At which port it can be had; 0: at the one the question comes from
    pub port: u16,
    /// All of it can be had
    #[arg(long)]
    pub seeder: bool,
    #[command(flatten)]
    pub network: Network,
}

/// A torrent to be found.
#[derive(Args, Debug)]
#[command(before_help = GET_PEERS)]
pub struct GetPeers {
    /// Which: its info-hash, 40 hexadecimal digits
    #[arg(value_parser = id)]
    pub info_hash: Id,
    /// Also estimate how many they are (BEP 33)
    #[arg(long)]
    pub scrape: bool,
    #[command(flatten)]
    pub network: Network,
}

/// A look around.
#[derive(Args, Debug)]
#[command(before_help = SAMPLE)]
pub struct Sample {
    /// Near which id [default: any]
    #[arg(value_parser = id)]
    pub target: Option<Id>,
    #[command(flatten)]
    pub network: Network,
}

/// Nodes.
#[derive(Args, Debug)]
#[command(before_help = SERVE)]
pub struct Serve {
    /// How many nodes
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub count: u16,
    /// Where the first listens, the others at the ports after it; with port 0 the system chooses
    /// [default: port 0 of this machine alone if the bootstrap nodes are on it, else of all addresses]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Keep ids and tables in a folder for the next run
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// End with the end of standard input
    #[arg(long, env = "P2P_EXIT_ON_EOF", value_parser = FalseyValueParser::new())]
    pub exit_on_eof: bool,
    #[command(flatten)]
    pub network: Network,
}

impl Network {
    /// Looks the bootstrap nodes up. One that cannot be found does not matter where another one can.
    pub fn bootstrap(&self) -> Result<Vec<SocketAddr>, String> {
        let found: Vec<_> = self.bootstrap.iter().map(|place| resolve_all(place, USUAL_PORT)).collect();
        let addrs: Vec<SocketAddr> = found.iter().flatten().flatten().copied().collect();
        match found.into_iter().find_map(Result::err) {
            Some(error) if addrs.is_empty() => Err(error),
            _ => Ok(addrs),
        }
    }
}

/// Where a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Its hash.
    Immutable(Id),
    /// Its owner's public key.
    Mutable(Bytes32),
}

/// A key or a seed.
pub type Bytes32 = [u8; 32];

impl FromStr for Key {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Key, Self::Err> {
        let mutable = || unhex(text).map(Key::Mutable);
        let immutable = || unhex(text).map(Id::new).map(Key::Immutable);
        mutable().or_else(immutable).ok_or("a key has 40 or 64 hexadecimal digits")
    }
}

/// A salt that is not too long.
#[derive(Clone, Debug)]
pub struct Salt(pub Vec<u8>);

fn salt(text: &str) -> Result<Salt, String> {
    if text.len() > Item::MAX_SALT_BYTES {
        return Err(format!("a salt has at most {} bytes", Item::MAX_SALT_BYTES));
    }
    Ok(Salt(text.as_bytes().to_vec()))
}

fn bytes32(text: &str) -> Result<Bytes32, String> {
    unhex(text).ok_or_else(|| "this takes 64 hexadecimal digits".to_owned())
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    let positive = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
    positive.ok_or_else(|| "a timeout is a positive, finite number of seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::refused;
    use super::super::{Wanted, parse};
    use super::*;

    const ID: &str = "e5f96f6f38320f0f33959cb4d3d656452117aadb";
    const PUBLIC: &str = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";

    fn read(line: &str) -> Dht {
        let line = line.replace("ID", ID).replace("PUBLIC", PUBLIC);
        match parse(line.split_whitespace()) {
            Ok(Wanted::Dht(dht)) => dht,
            Ok(_) => panic!("{line} is about no DHT"),
            Err(error) => panic!("{line}: {error}"),
        }
    }

    #[test]
    fn values_are_put_and_got() {
        let Dht::Put(put) = read("p2p dht put hello --bootstrap 127.0.0.1:7,[::1]:8 --json --timeout 0.5") else {
            panic!()
        };
        assert_eq!((put.text.as_str(), put.seed, put.network.json), ("hello", None, true));
        assert_eq!(put.network.bootstrap().unwrap(), ["127.0.0.1:7".parse().unwrap(), "[::1]:8".parse().unwrap()]);
        assert_eq!(put.network.timeout, Duration::from_millis(500));
        let Dht::Put(put) = read("p2p dht put - --seed PUBLIC --salt foo --seq 3 --cas 2 -k 20 --full") else {
            panic!()
        };
        assert_eq!((put.seed, put.seq, put.cas), (unhex(PUBLIC), Some(3), Some(2)));
        assert_eq!((&put.salt.0[..], put.network.full, put.network.tuning.tuning().k), (&b"foo"[..], true, 20));
        let Dht::Get(get) = read("p2p dht get ID") else { panic!() };
        assert_eq!(get.key, Key::Immutable(id(ID).unwrap()));
        let Dht::Get(get) = read("p2p dht get --salt foo PUBLIC") else { panic!() };
        assert_eq!(get.key, Key::Mutable(unhex(PUBLIC).unwrap()));
    }

    #[test]
    fn torrents_are_announced_and_found() {
        let Dht::Announce(announce) = read("p2p dht announce ID 0 --seeder") else { panic!() };
        assert_eq!((announce.info_hash, announce.port, announce.seeder), (id(ID).unwrap(), 0, true));
        let Dht::GetPeers(get) = read("p2p dht get-peers ID --scrape") else { panic!() };
        assert!(get.scrape);
        let Dht::Sample(sample) = read("p2p dht sample") else { panic!() };
        assert_eq!(sample.target, None);
        let Dht::Serve(serve) = read("p2p dht serve --count 1000 --listen 127.0.0.1:7000 --dir x --exit-on-eof") else {
            panic!()
        };
        assert_eq!((serve.count, serve.listen.unwrap().port(), serve.exit_on_eof), (1000, 7000, true));
    }

    #[test]
    fn a_bootstrap_node_has_the_usual_port_if_none_is_said() {
        let Dht::Sample(sample) = read("p2p dht sample --bootstrap 127.0.0.1,::1 --bootstrap 127.0.0.2") else {
            panic!()
        };
        let expected = ["127.0.0.1:6881", "[::1]:6881", "127.0.0.2:6881"].map(|addr| addr.parse().unwrap());
        assert_eq!(sample.network.bootstrap().unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for line in [
            "p2p dht put",
            "p2p dht put hello --seq 1",
            "p2p dht put hello --cas 1",
            "p2p dht put hello --salt x",
            "p2p dht put hello --seed abc",
            "p2p dht put hello --seed PUBLIC --seq -1",
            "p2p dht get",
            "p2p dht get abc",
            "p2p dht get IDx",
            "p2p dht announce ID",
            "p2p dht announce ID 65536",
            "p2p dht get-peers PUBLIC",
            "p2p dht sample x",
            "p2p dht sample --timeout 0",
            "p2p dht sample --timeout inf",
            "p2p dht sample -k 0",
            "p2p dht sample --alpha 17",
            "p2p dht serve --count 0",
            "p2p dht serve --listen here",
        ] {
            refused(&line.replace("ID", ID).replace("PUBLIC", PUBLIC));
        }
    }
}
