//! `p2p bench`: experiments on real processes, and what they measured as tables, graphs and a page.

mod book;
mod churn;
mod cluster;
mod compare;
mod distribute;
mod drawings;
mod e1;
mod e2;
mod e3;
mod graph;
mod images;
mod machine;
mod material;
mod original;
mod ours;
mod page;
pub mod plot;
mod process;
mod progress;
mod python;
mod records;
mod sets;
mod strings;
mod table;
mod topology;
mod variants;

use super::client::signalled;
use super::speech::{self, say};
use super::{FAILED, tell};
use crate::live;
use crate::web::schema::{Code, Trouble};
use book::Book;
use clap::{Args, ValueEnum};
use cluster::{Engine, MOST_NODES};
use jiff::Timestamp;
use machine::Machine;
use material::Material;
use ours::Kept;
use progress::Progress;
use records::Run;
use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  p2p bench e1 e2 e3                         The three experiments with images and strings
  p2p bench e1 e2 e3 --python                The same beside PyPI's kademlia, which it installs for itself
  p2p bench images --chunked --peers 8       Images in chunks of 8000 bytes
  p2p bench distribute                       One file to ever more peers with limited uplinks
  p2p bench churn compare --quick            Smaller sizes, to see that it works

Peers are processes of this program on 127.0.0.1, and gone at the end. What was measured is in records/.";

/// What shall be measured.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub struct Bench {
    /// Which experiments, one after the other
    #[arg(required = true)]
    experiments: Vec<Experiment>,
    /// Decides what chance decides
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Where the records are written
    #[arg(long, value_name = "DIR", default_value = "records")]
    out: PathBuf,
    /// Which overlay [default: kademlia; distribute: ring, always; compare: both]
    #[arg(long, default_value = "kademlia")]
    overlay: OverlayName,
    /// Images in chunks of 8000 bytes, the original's limit of a value
    #[arg(long)]
    chunked: bool,
    /// How many chunks or parts are on their way at once
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u8).range(1..=64))]
    in_flight: u8,
    /// Smaller and fewer things, to see that it works
    #[arg(long)]
    quick: bool,
    /// Do the same work with PyPI's kademlia beside ours (images, strings, e1 to e3)
    #[arg(long)]
    python: bool,
    /// How many peers (images, strings, churn, compare)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(3..=MOST_NODES as i64))]
    peers: Option<u16>,
    /// The pictures in this folder instead of made-up ones
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Experiment {
    /// Five nodes, all joined to the first
    E1,
    /// A chain of five nodes
    E2,
    /// Late joiners, and a node that leaves
    E3,
    /// Images alone
    Images,
    /// Strings alone
    Strings,
    /// One file to N peers at once
    Distribute,
    /// Peers crash and join while files are asked for
    Churn,
    /// Ring and Kademlia beside each other
    Compare,
}

/// Who is near what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OverlayName {
    /// The nearest clockwise.
    Ring,
    /// The nearest by exclusive or.
    Kademlia,
}

impl OverlayName {
    /// As graphs call it.
    fn label(self) -> &'static str {
        match self {
            OverlayName::Ring => "p2p, ring",
            OverlayName::Kademlia => "p2p, Kademlia",
        }
    }
}

/// What all experiments of a run share.
pub struct Setting {
    material: Material,
    overlay: OverlayName,
    kept: Kept,
    seed: u64,
    quick: bool,
    peers: Option<usize>,
    /// The interpreter of the yardstick, if it is wanted and there.
    python: Option<PathBuf>,
    progress: Progress,
}

impl Setting {
    /// Peers of ours.
    fn engine(&self, k: usize, replicas: usize) -> Engine {
        Engine::Ours { overlay: self.overlay, k, replicas, kept: self.kept }
    }

    /// Nodes of the yardstick.
    fn yardstick(&self, interpreter: &std::path::Path, k: usize) -> Engine {
        Engine::Python { interpreter: interpreter.to_owned(), k }
    }
}

/// How an experiment ended.
enum End {
    Done,
    Failed(Trouble),
    /// With this exit code.
    Signalled(u8),
}

/// Failures of a part that the terminal is told one by one.
const FAILURES_SHOWN: usize = 5;

/// Runs all that is wanted. The exit code of Ctrl-C is 130, of failures 1; records are written all the same.
pub fn run(bench: &Bench) -> ExitCode {
    let code = live::runtime().map_err(failed).and_then(|runtime| runtime.block_on(run_all(bench)));
    code.unwrap_or_else(|trouble| {
        tell_trouble(&trouble);
        ExitCode::from(FAILED)
    })
}

async fn run_all(bench: &Bench) -> Result<ExitCode, Trouble> {
    let folder = cluster::scratch()?;
    let mut setting = Setting {
        material: Material::make(&folder.file(""), bench.seed, bench.quick, bench.images.as_deref())?,
        overlay: bench.overlay,
        kept: Kept { chunked: bench.chunked, in_flight: bench.in_flight.into() },
        seed: bench.seed,
        quick: bench.quick,
        peers: bench.peers.map(usize::from),
        python: None,
        progress: Progress(String::new()),
    };
    if bench.python {
        setting.python = tokio::select! {
            installed = python::install() => installed.inspect_err(without_python).ok(),
            code = signalled() => return Ok(ExitCode::from(code)),
        };
    }
    let mut failed = false;
    for experiment in &bench.experiments {
        match record(bench, *experiment, &mut setting).await? {
            End::Done => {}
            End::Failed(trouble) => {
                tell_trouble(&trouble);
                failed = true;
            }
            End::Signalled(code) => return Ok(ExitCode::from(code)),
        }
    }
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn without_python(trouble: &Trouble) {
    tell_trouble(trouble);
    aside(
        "PyPI's kademlia cannot be run here (it takes python3 with venv and pip, and the network): the run goes on without it",
    );
}

/// Runs one experiment, and writes what it measured whatever ends it.
async fn record(bench: &Bench, experiment: Experiment, setting: &mut Setting) -> Result<End, Trouble> {
    let name = experiment.to_possible_value().expect("none is hidden").get_name().to_owned();
    setting.progress = Progress(name.clone());
    let (begun, clock, machine) = (Timestamp::now(), Instant::now(), Machine::this());
    say(&format!("{name}   seed {}   {}", bench.seed, machine.line()));
    let mut book = Book::default();
    if bench.quick {
        book.about.push("A quick run: fewer and smaller things than the experiment says.".to_owned());
    }
    let end = tokio::select! {
        outcome = perform(experiment, setting, &mut book) => outcome.map_or_else(End::Failed, |()| End::Done),
        code = signalled() => End::Signalled(code),
    };
    let run = Run {
        experiment: name,
        command: env::args().map(|word| tell::escaped(word.as_bytes())).collect::<Vec<_>>().join(" "),
        begun,
        took: clock.elapsed(),
        seed: bench.seed,
        options: options(bench),
        machine,
        versions: versions(setting),
        interrupted: matches!(end, End::Signalled(_)),
        failed: match &end {
            End::Failed(trouble) => Some(trouble.message.clone()),
            End::Done | End::Signalled(_) => None,
        },
    };
    let folder = records::write(&bench.out, &run, &book)?;
    book.shown.iter().flat_map(|shown| shown.lines()).for_each(|line| say(&line));
    for part in &book.parts {
        part.failures.iter().take(FAILURES_SHOWN).for_each(|failure| say(&format!("{}: {failure}", part.title)));
        if let more @ 1.. = part.failures.len().saturating_sub(FAILURES_SHOWN) {
            say(&format!("{}: and {more} more, which are on the page", part.title));
        }
    }
    let how = if run.interrupted { "interrupted; what had been measured is in" } else { "records" };
    say(&format!("{how}   {}\n", folder.join("index.html").display()));
    Ok(end)
}

async fn perform(experiment: Experiment, setting: &Setting, book: &mut Book) -> Result<(), Trouble> {
    match experiment {
        Experiment::E1 => e1::run(setting, book).await,
        Experiment::E2 => e2::run(setting, book).await,
        Experiment::E3 => e3::run(setting, book).await,
        Experiment::Images => images::run(setting, book).await,
        Experiment::Strings => strings::run(setting, book).await,
        Experiment::Distribute => distribute::run(setting, book).await,
        Experiment::Churn => churn::run(setting, book).await,
        Experiment::Compare => compare::run(setting, book).await,
    }
}

fn options(bench: &Bench) -> Vec<(&'static str, String)> {
    let given = |path: &Option<PathBuf>| path.as_ref().map_or("made up".to_owned(), |path| path.display().to_string());
    vec![
        ("overlay", bench.overlay.label().to_owned()),
        ("chunked", bench.chunked.to_string()),
        ("in flight", bench.in_flight.to_string()),
        ("quick", bench.quick.to_string()),
        ("python", bench.python.to_string()),
        ("peers", bench.peers.map_or("default".to_owned(), |peers| peers.to_string())),
        ("images", given(&bench.images)),
        ("peers' folders", cluster::scratch_is_in()),
    ]
}

fn versions(setting: &Setting) -> Vec<(&'static str, String)> {
    let build = if cfg!(debug_assertions) { "unoptimised build" } else { "release build" };
    let mut versions = vec![("p2p", format!("{}, {build}", env!("CARGO_PKG_VERSION")))];
    versions.extend(setting.python.as_ref().map(|_| ("PyPI kademlia", python::VERSION.to_owned())));
    versions
}

fn failed(why: impl ToString) -> Trouble {
    Trouble::new(Code::Failed, why)
}

fn tell_trouble(trouble: &Trouble) {
    aside(&trouble.message);
    trouble.cause.iter().filter(|cause| !cause.is_empty()).for_each(|cause| aside(&format!("  {cause}")));
}

fn aside(line: &str) {
    speech::aside(&tell::clean(line));
}
