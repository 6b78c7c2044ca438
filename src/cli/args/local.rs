//! The options of commands about this machine: a network on it, its settings, its fitness.

use super::client::Asking;
use super::peer::{PeerOptions, PlaceOptions, interval};
use crate::cli::who::{DEFAULT_PORT, Listen};
use clap::{Args, Subcommand};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

const UP: &str = "\
Examples:
  p2p up                       The seven peers of the demo ring, 2 4 5 8 9 14 19, until Ctrl-C
  p2p up 32                    32 peers, spread evenly over a ring
  p2p up 8 --kademlia --http 8080
  p2p store report.pdf --peer 4
                               Meanwhile, in another terminal";

const SHOW: &str = "\
Examples:
  p2p config show              Each setting, its value, and where that comes from
  p2p config show --replicas 5 The same, if a command were given so

Of several, the first counts: a flag, a variable, p2p.toml in this folder, p2p/p2p.toml in $XDG_CONFIG_HOME (~/.config),
the default. An empty variable is an unset one. In a file:

  kademlia = true
  base-port = 13000";

const DOCTOR: &str = "\
Examples:
  p2p doctor                   What could keep a peer from working well here, and what to do
  p2p doctor --dir /srv/p2p    The same for a peer that works in another folder

The exit code tells: 0 fit, 1 there is a problem.";

/// A network to be run.
#[derive(Args, Debug)]
#[command(before_help = UP)]
pub struct Up {
    /// How many peers, at most one for each number from 0 to 255 [default: the seven of the demo]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    pub count: Option<u16>,
    /// Seconds between two rounds of pings
    #[arg(long, value_name = "SECONDS", value_parser = interval, default_value = "15")]
    pub interval: Duration,
    /// Keep to Kademlia instead of the ring
    #[arg(short, long)]
    pub kademlia: bool,
    /// Working folder of all of them; what they print is in its folder logs
    #[arg(long, env = "P2P_DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Address of the peers
    #[arg(long, env = "P2P_HOST", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port of peer 0; peer N listens on this one + N [default: 12000, or the next thousand where all are free]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub base_port: Option<u16>,
    /// Let them answer HTTP too: the first at this port of this machine, the others at those after it
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65_280))]
    pub http: Option<u16>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// What about settings.
#[derive(Subcommand)]
pub enum ConfigTask {
    /// Show each setting, its value and where that comes from
    Show(Show),
}

/// Settings as they would be.
#[derive(Args)]
#[command(before_help = SHOW)]
pub struct Show {
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    options: PeerOptions,
    #[command(flatten)]
    asking: Asking,
}

impl Show {
    /// For programs.
    pub fn json(&self) -> bool {
        self.asking.json
    }
}

/// An examination of this machine.
#[derive(Args, Debug)]
#[command(before_help = DOCTOR)]
pub struct Doctor {
    /// The working folder of a peer
    #[arg(long, env = "P2P_DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Where a peer without a number would listen
    #[arg(long, env = "P2P_LISTEN", value_name = "[HOST]:PORT", default_value_t)]
    pub listen: Listen,
    /// Address of numbered peers
    #[arg(long, env = "P2P_HOST", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port of peer 0
    #[arg(long, env = "P2P_BASE_PORT", default_value_t = DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub base_port: u16,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}
