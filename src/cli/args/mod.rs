//! The command line, read and checked to the end: what comes out can be started.

pub mod client;
pub mod dht;
mod kademlia;
mod peer;

use super::simulate::Sim;
use crate::live::Config;
use crate::web::Settings;
use clap::error::ErrorKind;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use client::{Client, SealKeyFile};
use dht::Dht;
use std::env;
use std::ffi::OsString;

const EXAMPLES: &str = "\
Examples:
  p2p init 2 4 5 15      Peer 2 of a ring that starts together: its successors are 4 and 5, it pings every 15 s
  p2p init 2             Peer 2 begins a ring of its own
  p2p join 15 4          Peer 15 joins the ring that peer 4 is in
  p2p join 15 10.0.0.7:12004 --host 10.0.0.8
                         The same between machines
  p2p join --kademlia --remote 10.0.0.7
                         A peer of a Kademlia network, at port 12000; without --remote it creates one
  p2p store report.pdf   Has the peer that runs on this machine keep a file in the network
  p2p request report.pdf -o copy.pdf
                         Has it bring one here; likewise rm, ls, check, history, set, get, status, quit
  p2p dht get KEY --bootstrap HOST:PORT
                         Plain operations on the Mainline DHT: see p2p dht --help

Type at a running peer:  Store FILE   Request NAME   set KEY VALUE   get KEY   Quit";

/// A group of machines keeps files without any server.
#[derive(Parser)]
#[command(name = "p2p", version, before_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run a peer of a network that starts together, or of one of its own
    Init(peer::Init),
    /// Run a peer that joins a network
    Join(peer::Join),
    #[command(flatten)]
    Client(Client),
    /// Make a key file, with which files can be sealed
    SealKey(SealKeyFile),
    /// Do one thing in a Mainline DHT, or serve one
    #[command(subcommand)]
    Dht(Dht),
    /// Let a made-up network live, and sum it up
    Sim(Sim),
}

/// What a command line wants.
pub enum Wanted {
    /// A running peer, and how it can be asked.
    Peer(Box<Config>, Settings),
    /// Something that a running peer does.
    Client(Client),
    /// A key file.
    SealKey(SealKeyFile),
    /// Something in a Mainline DHT.
    Dht(Dht),
    /// A simulation.
    Sim(Sim),
}

/// Reads a command line, the program's own name first. What is wrong is told with the usage; exit code 2.
pub fn parse(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Wanted, clap::Error> {
    let mut command = without_empty_variables(CommandLine::command());
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let matches = command.try_get_matches_from_mut(&words);
    let task = task_in(&mut command, &words);
    let matches = match (matches, task) {
        (Err(error), Some(task)) if error.use_stderr() => return Err(with_usage(task, error)),
        (matches, _) => matches?,
    };
    let given = |check: fn(&ArgMatches) -> Result<(), String>| check(matches.subcommand().expect("one is required").1);
    let (name, web, config) = match CommandLine::from_arg_matches(&matches)?.task {
        Task::Init(init) => ("init", init.web(), given(peer::check).and_then(|()| init.config())),
        Task::Join(join) => ("join", join.web(), given(peer::check).and_then(|()| join.config())),
        Task::Client(client) => {
            let name = matches.subcommand_name().expect("one is required");
            let task = command.find_subcommand_mut(name).expect("it was just parsed");
            let wrong = |reason| task.error(ErrorKind::ArgumentConflict, reason);
            return client.check().map_err(wrong).map(|()| Wanted::Client(client));
        }
        Task::SealKey(seal_key) => return Ok(Wanted::SealKey(seal_key)),
        Task::Dht(dht) => return Ok(Wanted::Dht(dht)),
        Task::Sim(sim) => return Ok(Wanted::Sim(sim)),
    };
    config.map(|config| Wanted::Peer(Box::new(config), web)).map_err(|reason| {
        let task = command.find_subcommand_mut(name).expect("it was just parsed");
        task.error(ErrorKind::ValueValidation, reason)
    })
}

/// Whose usage to tell, if something is wrong: the innermost command that is named.
fn task_in<'c>(command: &'c mut Command, words: &[OsString]) -> Option<&'c mut Command> {
    let task = command.find_subcommand_mut(words.get(1)?)?;
    match words.get(2) {
        Some(word) if task.find_subcommand(word).is_some() => task.find_subcommand_mut(word),
        _ => Some(task),
    }
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
    let command = command.mut_args(|arg| match arg.get_env().and_then(env::var_os) {
        Some(value) if value.is_empty() => arg.env(None::<&'static str>),
        _ => arg,
    });
    command.mut_subcommands(without_empty_variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The peer that a command line wants.
    pub fn read(line: &str) -> Result<Config, clap::Error> {
        parse(line.split_whitespace()).map(|wanted| match wanted {
            Wanted::Peer(config, _) => *config,
            Wanted::Client(_) | Wanted::SealKey(_) | Wanted::Dht(_) | Wanted::Sim(_) => panic!("{line} starts no peer"),
        })
    }

    /// Why a command line is refused.
    pub fn refused(line: &str) -> String {
        let error = parse(line.split_whitespace()).err().unwrap_or_else(|| panic!("accepted: {line}"));
        assert_eq!(error.exit_code(), 2, "{line}");
        let text = error.to_string();
        assert!(text.contains("Usage: p2p") || text.contains("Examples"), "{line}: {text}");
        text
    }

    fn help(line: &str) -> String {
        let help = parse(line.split_whitespace()).err().expect("help is no task");
        assert_eq!(help.exit_code(), 0);
        help.to_string()
    }

    #[test]
    fn help_begins_with_examples() {
        for line in [
            "p2p --help",
            "p2p init --help",
            "p2p join --help",
            "p2p dht --help",
            "p2p store --help",
            "p2p request --help",
            "p2p rm --help",
            "p2p ls --help",
            "p2p check --help",
            "p2p history --help",
            "p2p set --help",
            "p2p get --help",
            "p2p status --help",
            "p2p quit --help",
            "p2p seal-key --help",
        ] {
            assert!(help(line).starts_with("Examples:"), "{line}");
        }
    }

    #[test]
    fn help_lists_every_option_with_its_variable() {
        let options = ["kademlia", "k", "alpha", "bits", "eviction", "buckets", "dir", "fingers", "replicas"];
        for line in ["p2p init --help", "p2p join --help"] {
            let help = help(line);
            for option in options {
                assert!(help.contains(&format!("--{option}")), "{line}: {option}");
                assert!(help.contains(&format!("P2P_{}", option.to_uppercase())), "{line}: {option}");
            }
        }
        let join = help("p2p join --help");
        assert!(join.contains("--remote") && join.contains("P2P_REMOTE_HOST") && join.contains("--listen"));
        let serve = help("p2p dht serve --help");
        assert!(serve.contains("--count") && serve.contains("--bootstrap") && serve.contains("--exit-on-eof"));
    }

    #[test]
    fn what_is_no_task_is_refused() {
        ["p2p", "p2p dance", "p2p dht", "p2p dht dance"].into_iter().for_each(|line| drop(refused(line)));
    }
}
