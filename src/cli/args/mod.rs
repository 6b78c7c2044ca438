//! The command line, read and checked to the end: what comes out can be started.

pub mod client;
pub mod dht;
pub mod files;
mod kademlia;
pub mod local;
pub mod looking;
pub mod pages;
mod peer;

use super::bench::Bench;
use super::bench::plot::Plot;
use super::sim::Sim;
use crate::live::Config;
use crate::web::Settings;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use client::{Client, SealKeyFile};
use dht::Dht;
use files::{Files, Setting, Stranger};
use local::{ConfigTask, Doctor, Up};
use pages::Page;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

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
  p2p find report.pdf    Shows the way to who keeps it, hop by hop; likewise ring, peers, ping
  p2p up 8               A whole network on this machine, until Ctrl-C
  p2p dht get KEY --bootstrap HOST:PORT
                         Plain operations on the Mainline DHT: see p2p dht --help

Type at a running peer:  Store FILE   Request NAME   set KEY VALUE   get KEY   Quit";

const COMPLETIONS: &str = "\
Examples:
  p2p completions bash >~/.local/share/bash-completion/completions/p2p
  p2p completions zsh >~/.zfunc/_p2p
  p2p completions fish >~/.config/fish/completions/p2p.fish";

const MAN: &str = "\
Examples:
  p2p man | man -l -                         Reads the first page
  p2p man ~/.local/share/man/man1            Writes one page for each command";

/// What a broken file of settings does not stop: these help to mend it.
const WITHOUT_SETTINGS: [&str; 3] = ["doctor", "completions", "man"];

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
    /// Measure real processes: images, strings, distribution, churn
    Bench(Bench),
    /// Draw a CSV file as SVG
    Plot(Plot),
    /// Run a whole local network, until Ctrl-C
    Up(Up),
    /// Show the settings, and where each comes from
    #[command(subcommand)]
    Config(ConfigTask),
    /// Look whether this machine is fit for a peer
    Doctor(Doctor),
    /// Print a script with which a shell completes commands
    #[command(before_help = COMPLETIONS)]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write manual pages
    #[command(before_help = MAN)]
    Man {
        /// Into this folder, one for each command [default: the first one, to standard output]
        dir: Option<PathBuf>,
    },
}

/// What a command line wants.
pub enum Wanted {
    /// A running peer.
    Peer(Box<Config>, Manner),
    /// Something that a running peer does.
    Client(Client),
    /// A key file.
    SealKey(SealKeyFile),
    /// Something in a Mainline DHT.
    Dht(Dht),
    /// A simulation.
    Sim(Sim),
    /// Experiments on real processes.
    Bench(Bench),
    /// A graph of a CSV file.
    Plot(Plot),
    /// A local network.
    Up(Up),
    /// All settings.
    Config { settings: Vec<Setting>, json: bool },
    /// An examination of this machine.
    Doctor(Doctor, Environment),
    /// This text, as it is: a script or a page.
    Text(Vec<u8>),
    /// Manual pages, in a folder.
    Man(PathBuf, Vec<Page>),
}

/// What was found of settings, good or bad.
pub struct Environment {
    /// Why the files cannot be used, if so.
    pub files: Result<(), String>,
    /// Variables that say nothing, though they look like ours.
    pub strangers: Vec<Stranger>,
}

/// How a peer in the foreground can be asked, and how it ends.
pub struct Manner {
    /// How programs ask it.
    pub web: Settings,
    /// What the end of its input means.
    pub at_end: AtEnd,
    /// How long SIGTERM lets it hand over and say goodbye.
    pub leave_within: Duration,
}

/// What the end of a peer's input means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// Nothing more is typed, and that is all.
    ServeOn,
    /// The peer is to leave, as with Quit.
    Leave,
}

/// Reads a command line, the program's own name first. What is wrong is told with the usage; exit code 2.
pub fn parse(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Wanted, clap::Error> {
    let plain = CommandLine::command();
    let (files, readable) = match Files::read(&plain) {
        Ok(files) => (files, Ok(())),
        Err(reason) => (Files::default(), Err(reason)),
    };
    let mut command = without_empty_variables(files.lay_under(plain.clone()));
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let matches = command.try_get_matches_from_mut(&words);
    let task = task_in(&mut command, &words);
    let matches = match (matches, task) {
        (Err(error), Some(task)) if error.use_stderr() => return Err(with_usage(task, error, &words)),
        (matches, _) => matches?,
    };
    let (name, _) = matches.subcommand().expect("one is required");
    if let (Err(reason), false) = (&readable, WITHOUT_SETTINGS.contains(&name)) {
        return Err(plain.clone().error(ErrorKind::ValueValidation, reason));
    }
    let given = |check: fn(&ArgMatches) -> Result<(), String>| check(matches.subcommand().expect("one is required").1);
    let (name, manner, config) = match CommandLine::from_arg_matches(&matches)?.task {
        Task::Init(init) => ("init", init.manner(), given(peer::check).and_then(|()| init.config())),
        Task::Join(join) => ("join", join.manner(), given(peer::check).and_then(|()| join.config())),
        Task::Client(client) => {
            let name = matches.subcommand_name().expect("one is required");
            let task = command.find_subcommand_mut(name).expect("it was just parsed");
            let wrong = |reason| task.error(ErrorKind::ArgumentConflict, reason);
            return client.check().map_err(wrong).map(|()| Wanted::Client(client));
        }
        Task::SealKey(seal_key) => return Ok(Wanted::SealKey(seal_key)),
        Task::Dht(dht) => return Ok(Wanted::Dht(dht)),
        Task::Sim(sim) => return Ok(Wanted::Sim(sim)),
        Task::Bench(bench) => return Ok(Wanted::Bench(bench)),
        Task::Plot(plot) => return Ok(Wanted::Plot(plot)),
        Task::Up(up) => return Ok(Wanted::Up(up)),
        Task::Config(ConfigTask::Show(show)) => {
            let settings = files.settings(&plain, &matches);
            return Ok(Wanted::Config { settings, json: show.json() });
        }
        Task::Doctor(doctor) => {
            let strangers = files::strange_variables(&plain, env::vars_os().map(|(name, _)| name));
            return Ok(Wanted::Doctor(doctor, Environment { files: readable, strangers }));
        }
        Task::Completions { shell } => return Ok(Wanted::Text(pages::completions(CommandLine::command(), shell))),
        Task::Man { dir: None } => return Ok(Wanted::Text(pages::first(CommandLine::command()))),
        Task::Man { dir: Some(dir) } => return Ok(Wanted::Man(dir, pages::all(CommandLine::command()))),
    };
    config.map(|config| Wanted::Peer(Box::new(config), manner)).map_err(|reason| {
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

/// The same error followed by the usage, which clap leaves out where a single value is wrong. Where nobody gave the option that
/// is blamed, its variable is.
fn with_usage(task: &mut Command, error: clap::Error, words: &[OsString]) -> clap::Error {
    let text = error.to_string();
    if text.contains("Usage:") {
        return error;
    }
    let message = text.trim_start_matches("error: ").split("\n\nFor more").next().unwrap_or_default();
    let message = match variable_blamed(task, &error, words) {
        Some((option, variable)) => message.replace(&format!("'{option}'"), &format!("the variable {variable}")),
        None => message.to_owned(),
    };
    task.error(error.kind(), message)
}

/// The option whose value is wrong and the variable that has it, if no word of the command line does.
fn variable_blamed(task: &Command, error: &clap::Error, words: &[OsString]) -> Option<(String, String)> {
    let (Some(ContextValue::String(option)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return None;
    };
    let variable = task.get_arguments().find(|arg| arg.to_string() == *option)?.get_env()?.to_str()?;
    let is_given = words.iter().any(|word| word.to_string_lossy().ends_with(value.as_str()));
    (env::var(variable).is_ok_and(|set| set == *value) && !is_given).then(|| (option.clone(), variable.to_owned()))
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
            Wanted::Peer(config, ..) => *config,
            _ => panic!("{line} starts no peer"),
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
            "p2p dht put --help",
            "p2p dht get --help",
            "p2p dht announce --help",
            "p2p dht get-peers --help",
            "p2p dht sample --help",
            "p2p dht serve --help",
            "p2p sim --help",
            "p2p sim churn --help",
            "p2p sim week --help",
            "p2p watch --help",
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
            "p2p bench --help",
            "p2p plot --help",
            "p2p ring --help",
            "p2p peers --help",
            "p2p find --help",
            "p2p ping --help",
            "p2p up --help",
            "p2p config show --help",
            "p2p doctor --help",
            "p2p completions --help",
            "p2p man --help",
        ] {
            assert!(help(line).starts_with("Examples:"), "{line}");
        }
        for line in ["p2p init --help", "p2p join --help"] {
            let (help, task) = (help(line), line.trim_end_matches("--help"));
            let examples = help.lines().skip(1).take_while(|line| !line.is_empty());
            let of_others = examples.filter(|line| line.starts_with("  p2p") && !line.contains(task));
            assert_eq!(of_others.collect::<Vec<_>>(), [""; 0], "{line}");
        }
    }

    #[test]
    fn help_lists_every_option_with_its_variable() {
        let options =
            ["kademlia", "k", "alpha", "bits", "eviction", "buckets", "dir", "fingers", "replicas", "exit-on-eof"];
        for line in ["p2p init --help", "p2p join --help"] {
            let help = help(line);
            for option in options {
                assert!(help.contains(&format!("--{option}")), "{line}: {option}");
                assert!(help.contains(&format!("P2P_{}", option.to_uppercase().replace('-', "_"))), "{line}: {option}");
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
