//! The options of one-shot commands, which a running peer carries out.

use super::dht::timeout;
use super::looking::{Find, Peers, Ping, Ring, Watch};
use clap::{Args, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Duration;

const STORE: &str = "\
Examples:
  p2p store report.pdf                       Keeps a file in the network, under its own name
  p2p store *.jpg                            Many files, some of them at once
  tar c photos | p2p store - --name photos.tar
  p2p store diary.txt --encrypt              Asks for a passphrase: its keepers learn only how long the file is
  p2p store diary.txt --encrypt --key-file my.key --hide-name";

const REQUEST: &str = "\
Examples:
  p2p request report.pdf                     Brings it here, as received_report.pdf
  p2p request report.pdf -o copy.pdf
  p2p request a.jpg b.jpg c.jpg -o photos/   Many files, some of them at once
  p2p request photos.tar -o - | tar x
  p2p request report.pdf --version 1         An earlier version
  p2p request diary.txt --decrypt            Asks for the passphrase, if the file is sealed";

const RM: &str = "\
Examples:
  p2p rm report.pdf                          From now on nobody finds it, whatever copies come back";

const LS: &str = "\
Examples:
  p2p ls                                     All files of the network, and who holds them
  p2p ls --json                              The same, one JSON object a line";

const CHECK: &str = "\
Examples:
  p2p check report.pdf                       Has all copies read, and compared with their hash
  p2p check report.pdf --repair              Has made good what lacks, and waits for it

The exit code tells: 0 good, 3 not there, 5 a copy is damaged, 6 fewer copies than wanted.";

const HISTORY: &str = "\
Examples:
  p2p history report.pdf                     All versions, and whether each follows the one before it
  p2p request report.pdf --version 1         Brings one of them here";

const SET: &str = "\
Examples:
  p2p set motto 'carry on'                   Keeps a small value in the network, for a day
  p2p get motto";

const GET: &str = "\
Examples:
  p2p get motto                              Prints the value that was set";

const STATUS: &str = "\
Examples:
  p2p status                                 Which peer runs here
  p2p status --peer 4                        Peer 4, where several run";

const QUIT: &str = "\
Examples:
  p2p quit                                   The peer hands over what it holds, says goodbye and ends
  p2p quit --abrupt --peer 4                 Peer 4 is gone at once: the others find out";

const SEAL_KEY: &str = "\
Examples:
  p2p seal-key my.key                        Draws a key that only you can read
  p2p store diary.txt --encrypt --key-file my.key
  p2p request diary.txt --key-file my.key";

/// What a running peer shall do.
#[derive(Subcommand, Debug)]
pub enum Client {
    /// Keep a file in the network
    Store(Store),
    /// Bring a file here
    Request(Request),
    /// Let nobody find a file any more
    Rm(Rm),
    /// Show which files there are
    Ls(Ls),
    /// Look how the copies of a file are
    Check(Check),
    /// Show the versions of a file
    History(History),
    /// Keep a small value in the network
    Set(Set),
    /// Show a value
    Get(Get),
    /// Show which peer runs here
    Status(Status),
    /// Show whom a peer knows, in the order of the ring or bucket by bucket
    Ring(Ring),
    /// Show whom a peer knows, how fast each answers and when it did last
    Peers(Peers),
    /// Show the way to who keeps a file, hop by hop
    Find(Find),
    /// Find out how fast a peer answers
    Ping(Ping),
    /// Show what happens at a peer, until Ctrl-C
    Watch(Watch),
    /// Let a peer hand over, say goodbye and end
    Quit(Quit),
}

/// Who is asked, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Asking")]
pub struct Asking {
    /// Which peer of this machine does it: its number or name, its address, or its port [default: the only one]
    // Under an id of its own: peers that are started have an argument `peer`.
    #[arg(id = "at_peer", long = "peer", env = "P2P_PEER", value_name = "PEER")]
    pub peer: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Seconds until it is given up, with exit code 124 [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = timeout, allow_negative_numbers = true)]
    pub timeout: Option<Duration>,
    /// Whether progress bars and what goes on have colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// At a terminal, unless NO_COLOR is set
    Auto,
    /// Also there
    Always,
    /// Nowhere
    Never,
}

/// What opens a sealed file.
#[derive(Args, Debug)]
pub struct KeyOptions {
    /// The passphrase is in this file, and is not asked for
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    pub passphrase_file: Option<PathBuf>,
    /// The key is in this file (see p2p seal-key)
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// A file of the network.
#[derive(Args, Debug)]
pub struct Called {
    /// Its name
    pub name: String,
    /// It was stored with --hide-name: the key tells how it is called in the network
    #[arg(long)]
    pub hide_name: bool,
    #[command(flatten)]
    pub key: KeyOptions,
}

/// Files to be kept.
#[derive(Args, Debug)]
#[command(before_help = STORE)]
pub struct Store {
    /// The files; - reads standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Its name in the network, of one file [default: its own]
    #[arg(long, required_if_eq("files", "-"))]
    pub name: Option<String>,
    /// Seconds that it is kept [default: until it is removed]
    #[arg(long, value_name = "SECONDS", value_parser = from_one, allow_negative_numbers = true)]
    pub ttl: Option<u64>,
    /// Seal it: who keeps it learns only how long it is
    #[arg(long)]
    pub encrypt: bool,
    /// Seal its name too: only who has the key finds it
    #[arg(long, requires = "encrypt")]
    pub hide_name: bool,
    #[command(flatten)]
    pub key: KeyOptions,
    #[command(flatten)]
    pub asking: Asking,
}

/// Files to be brought here.
#[derive(Args, Debug)]
#[command(before_help = REQUEST)]
pub struct Request {
    /// Their names
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Where to put it: a file or a folder, of many files a folder; - writes standard output [default: received_NAME,
    /// here]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Which version, of one file [default: the latest]
    #[arg(long, value_name = "N", value_parser = from_one, allow_negative_numbers = true)]
    pub version: Option<u64>,
    /// Unseal it, and fail if it is not sealed. A sealed file is unsealed without this too, where a key is given or
    /// somebody sits at the terminal
    #[arg(long)]
    pub decrypt: bool,
    /// It was stored with --hide-name
    #[arg(long)]
    pub hide_name: bool,
    #[command(flatten)]
    pub key: KeyOptions,
    #[command(flatten)]
    pub asking: Asking,
}

/// A file to be removed.
#[derive(Args, Debug)]
#[command(before_help = RM)]
pub struct Rm {
    #[command(flatten)]
    pub file: Called,
    #[command(flatten)]
    pub asking: Asking,
}

/// The files of the network.
#[derive(Args, Debug)]
#[command(before_help = LS)]
pub struct Ls {
    #[command(flatten)]
    pub asking: Asking,
}

/// A file to be looked at.
#[derive(Args, Debug)]
#[command(before_help = CHECK)]
pub struct Check {
    #[command(flatten)]
    pub file: Called,
    /// Have made good what lacks, and wait for it
    #[arg(long)]
    pub repair: bool,
    #[command(flatten)]
    pub asking: Asking,
}

/// The versions of a file.
#[derive(Args, Debug)]
#[command(before_help = HISTORY)]
pub struct History {
    #[command(flatten)]
    pub file: Called,
    #[command(flatten)]
    pub asking: Asking,
}

/// A value to be kept.
#[derive(Args, Debug)]
#[command(before_help = SET)]
pub struct Set {
    /// Its key: whoever knows it can read and change the value
    pub key: String,
    /// The value
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    #[command(flatten)]
    pub asking: Asking,
}

/// A value to be found.
#[derive(Args, Debug)]
#[command(before_help = GET)]
pub struct Get {
    /// Its key
    pub key: String,
    #[command(flatten)]
    pub asking: Asking,
}

/// A look at the peer.
#[derive(Args, Debug)]
#[command(before_help = STATUS)]
pub struct Status {
    #[command(flatten)]
    pub asking: Asking,
}

/// The end of the peer.
#[derive(Args, Debug)]
#[command(before_help = QUIT)]
pub struct Quit {
    /// Vanish at once, telling nobody, as with Ctrl-C or in a crash
    #[arg(long)]
    pub abrupt: bool,
    #[command(flatten)]
    pub asking: Asking,
}

/// A key to be made.
#[derive(Args, Debug)]
#[command(before_help = SEAL_KEY)]
pub struct SealKeyFile {
    /// Where; a file that is there already is left alone
    pub file: PathBuf,
}

/// A whole number above zero.
fn from_one(text: &str) -> Result<u64, String> {
    at_least(1, text)
}

/// A whole number that is this or more.
pub fn at_least(least: u64, text: &str) -> Result<u64, String> {
    let number: i128 = text.parse().map_err(|_| "not a whole number".to_owned())?;
    u64::try_from(number).ok().filter(|number| *number >= least).ok_or_else(|| format!("{number} is not in {least}.."))
}

impl Client {
    /// Who is asked, and how.
    pub fn asking(&self) -> &Asking {
        match self {
            Client::Store(Store { asking, .. })
            | Client::Request(Request { asking, .. })
            | Client::Rm(Rm { asking, .. })
            | Client::Ls(Ls { asking })
            | Client::Check(Check { asking, .. })
            | Client::History(History { asking, .. })
            | Client::Set(Set { asking, .. })
            | Client::Get(Get { asking, .. })
            | Client::Status(Status { asking })
            | Client::Ring(Ring { asking })
            | Client::Peers(Peers { asking })
            | Client::Find(Find { asking, .. })
            | Client::Ping(Ping { asking, .. })
            | Client::Watch(Watch { asking, .. })
            | Client::Quit(Quit { asking, .. }) => asking,
        }
    }

    /// Checks what clap cannot: options that do not go together.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Client::Store(store) if !store.encrypt && store.key.is_given() => {
                Err("a key is for sealing: say --encrypt too, or leave it out".to_owned())
            }
            Client::Rm(Rm { file, .. })
            | Client::Check(Check { file, .. })
            | Client::History(History { file, .. })
            | Client::Find(Find { file, .. })
                if !file.hide_name && file.key.is_given() =>
            {
                Err("a key is for hidden names here: say --hide-name too, or leave it out".to_owned())
            }
            Client::Request(request) if request.asking.json && request.output.as_deref() == Some(Path::new("-")) => {
                Err("--json and -o - both write to standard output: leave out one of them".to_owned())
            }
            Client::Store(store) if store.files.len() > 1 && store.name.is_some() => {
                Err("--name is of one file: store them one by one, or under their own names".to_owned())
            }
            Client::Store(store) if store.files.len() > 1 && store.files.iter().any(|file| file == Path::new("-")) => {
                Err("standard input is stored alone, with --name".to_owned())
            }
            Client::Request(request) if request.names.len() > 1 => match &request.output {
                _ if request.version.is_some() => Err("--version is of one file: request them one by one".to_owned()),
                Some(output) if output == Path::new("-") => {
                    Err("standard output takes one file: give a folder with -o".to_owned())
                }
                Some(output) if !output.is_dir() => {
                    Err(format!("{} is no folder: many files go into one that is there", output.display()))
                }
                Some(_) | None => Ok(()),
            },
            Client::Store(_)
            | Client::Request(_)
            | Client::Rm(_)
            | Client::Ls(_)
            | Client::Check(_)
            | Client::History(_)
            | Client::Set(_)
            | Client::Get(_)
            | Client::Status(_)
            | Client::Ring(_)
            | Client::Peers(_)
            | Client::Find(_)
            | Client::Ping(_)
            | Client::Watch(_)
            | Client::Quit(_) => Ok(()),
        }
    }
}

impl KeyOptions {
    /// Whether a passphrase or key file is named.
    pub fn is_given(&self) -> bool {
        self.passphrase_file.is_some() || self.key_file.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read as started, refused};
    use super::super::{Wanted, parse};
    use super::*;
    use crate::ground::Id;
    use crate::live::Identity;

    fn read(line: &str) -> Client {
        match parse(line.split_whitespace()) {
            Ok(Wanted::Client(client)) => client,
            Ok(_) => panic!("{line} asks no running peer"),
            Err(error) => panic!("{line}: {error}"),
        }
    }

    #[test]
    fn which_peer_is_asked_and_which_is_started_are_two_things() {
        assert_eq!(read("p2p ls --peer 2").asking().peer.as_deref(), Some("2"));
        assert_eq!(read("p2p ls").asking().peer, None);
        assert_eq!(started("p2p init 2 4 5 15").unwrap().identity, Identity::Given(Id::numbered(2)));
        refused("p2p init 2 --peer 4");
        refused("p2p --peer 2 ls");
    }

    #[test]
    fn files_are_stored_and_requested() {
        let Client::Store(store) = read("p2p store - --name a.tar --ttl 60 --encrypt --key-file k --hide-name") else {
            panic!()
        };
        assert_eq!(
            (store.name.as_deref(), store.ttl, store.encrypt, store.hide_name),
            (Some("a.tar"), Some(60), true, true)
        );
        let Client::Request(request) = read("p2p request a.tar -o - --version 3 --timeout 0.5") else { panic!() };
        assert_eq!((request.output, request.version), (Some("-".into()), Some(3)));
        assert_eq!(request.asking.timeout, Some(Duration::from_millis(500)));
        let Client::Rm(rm) = read("p2p rm -- -dash") else { panic!() };
        assert_eq!(rm.file.name, "-dash");
        let Client::Set(set) = read("p2p set depth -40") else { panic!() };
        assert_eq!((set.key.as_str(), set.value.as_str()), ("depth", "-40"));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for line in [
            "p2p store",
            "p2p store -",
            "p2p store a b --name both",
            "p2p rm a --key-file k",
            "p2p check a --passphrase-file p",
            "p2p history a --key-file k --passphrase-file p --hide-name",
            "p2p store a - --name both",
            "p2p store a --ttl 0",
            "p2p store a --ttl soon",
            "p2p store a --key-file k",
            "p2p store a --passphrase-file p",
            "p2p store a --hide-name",
            "p2p store a --encrypt --key-file k --passphrase-file p",
            "p2p request",
            "p2p request a --version 0",
            "p2p request a --json -o -",
            "p2p request a b --version 1",
            "p2p request a b -o -",
            "p2p request a b -o absent",
            "p2p rm",
            "p2p ls a",
            "p2p ls --timeout 0",
            "p2p check",
            "p2p history",
            "p2p set a",
            "p2p get",
            "p2p seal-key",
        ] {
            refused(line);
        }
        assert!(refused("p2p stor a").contains("store"), "a typo gets a suggestion");
        for line in ["p2p store a --ttl -1", "p2p request a --version -1"] {
            assert!(refused(line).contains("-1 is not in 1.."), "{line}");
        }
        assert!(refused("p2p watch --since -1").contains("-1 is not in 0.."));
        assert!(!refused("p2p ls --timeout -1").contains("unexpected"));
    }
}
