//! Typing at a running peer.

use super::args::AtEnd;
use super::asked::Asked;
use super::console::{Keyboard, Screen, Typed};
use super::looks::{self, Looker};
use super::tell::Line;
use super::terminal;
use super::underway::{self, moved_by};
use super::words::Word;
use crate::ground::FileName;
use crate::live::{Folders, Host, Interest, Kind, Reply, Unheard};
use crate::web::Plate;
use std::io::{self, IsTerminal as _};
use std::path::{self, Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a Quit from a script waits for the command before it. Quitting shall take a few seconds, whatever happens.
const QUIT_WAITS: Duration = Duration::from_secs(5);

/// Exit code of Ctrl-C.
pub const INTERRUPTED: i32 = super::INTERRUPTED as i32;

/// Where words come from, and what their end means.
pub struct Input {
    /// Where they come from.
    pub keyboard: Keyboard,
    /// What their end means.
    pub at_end: AtEnd,
    /// Resolves when the peer takes commands; to false if it never will.
    pub joined: JoinHandle<bool>,
    /// Where files come from and arrive.
    pub folders: Folders,
    /// What is asked in a way that its answer does not tell.
    pub asked: Asked,
}

/// Waits for the command before, as long as leaving may be put off.
fn wait(before: Option<Reply>, runtime: &Handle) {
    if let Some(reply) = before {
        let _ = runtime.block_on(async { timeout(QUIT_WAITS, reply).await });
    }
}

/// Where a file that is requested is to arrive; what is said is seen from the working folder.
fn destination(folders: &Folders, name: &str, output: Option<&Path>) -> Result<PathBuf, Unheard> {
    let said = output.map(|output| folders.work.join(output));
    let wanted = match said {
        None => folders.received(&FileName::parse(name)?),
        Some(folder) if folder.is_dir() => folder.join(FileName::parse(name)?.as_str()),
        Some(file) => file,
    };
    path::absolute(wanted).map_err(|_| Unheard::BadPath)
}

/// Reads and does what is typed until the end of input, which the peer outlives. What a stream says before it has joined is
/// done then.
///
/// In a script each command begins when the one before has ended; who sits at a terminal need not wait.
pub fn run(input: Input, screen: &Screen, host: &Host, kind: Kind, plate: &Plate, runtime: &Handle) {
    let Input { mut keyboard, at_end, joined, folders, asked } = input;
    let mut joined = Some(joined);
    let say = |text: String| screen.print(&Line::Out(text));
    let mut before: Option<Reply> = None;
    let mut leaving = false;
    let mut looker = Looker { host, plate, screen, runtime, watching: None };
    loop {
        let line = match keyboard.next() {
            Typed::Line(line) => line,
            Typed::Garbled => {
                say("That line is no text".to_owned());
                continue;
            }
            Typed::Interrupt => terminal::exit(INTERRUPTED),
            Typed::End if at_end == AtEnd::Leave => {
                wait(before, runtime);
                // An error: it has left already.
                let _ = host.leave();
                return;
            }
            Typed::End => {
                if keyboard.is_attended() {
                    say("No more input: the peer serves on, Ctrl-C ends it".to_owned());
                }
                return;
            }
        };
        let word = match Word::parse(&line, kind) {
            Ok(Some(Word::Help(lines))) => {
                lines.iter().for_each(|line| say((*line).to_owned()));
                continue;
            }
            Ok(Some(Word::Clear)) => {
                screen.clear();
                continue;
            }
            Ok(Some(word)) => word,
            Ok(None) => continue,
            Err(error) => {
                say(error.to_string());
                continue;
            }
        };
        // Who sits there is told to try again, and can go on typing.
        if word.is_for_members()
            && !keyboard.is_attended()
            && let Some(joined) = joined.take()
            && !runtime.block_on(joined).unwrap_or(false)
        {
            // Why, is told by the peer, which ends.
            return;
        }
        match (before.take(), &word) {
            (Some(_), Word::Quit) if leaving => terminal::exit(0),
            (Some(reply), Word::Quit) => wait(Some(reply), runtime),
            (Some(reply), _) => {
                let _ = reply.blocking_recv();
            }
            (None, _) => {}
        }
        let moved = moved_by(&word).filter(|_| keyboard.is_attended() && io::stderr().is_terminal());
        let begun = match word {
            Word::Store(file) => host.store(&file),
            Word::Request { name, output: None, version: None } => host.request(&name),
            Word::Request { name, output, version } => destination(&folders, &name, output.as_deref())
                .and_then(|path| host.request_to(&name, version, path, Interest::LASTING)),
            Word::Remove(name) => host.remove(&name),
            Word::Check { name, repair } => {
                if repair {
                    asked.repairs(&name);
                }
                host.inspect(&name, true, repair)
            }
            Word::History(name) => host.inspect(&name, false, false),
            Word::List => host.list(),
            Word::Set { key, value } => host.set(&key, value.as_bytes()),
            Word::Get(key) => host.get(&key),
            Word::Look(look) => {
                match looks::begin(look, &mut looker) {
                    Ok(reply) if !keyboard.is_attended() => before = reply,
                    Ok(_) => {}
                    Err(reason) => say(reason),
                }
                continue;
            }
            Word::Help(_) | Word::Clear => unreachable!("these are done above"),
            Word::Quit if leaving => terminal::exit(0),
            Word::Quit => {
                leaving = true;
                host.leave()
            }
            Word::Vanish => host.vanish(),
        };
        match (begun, moved) {
            (Ok(reply), _) if !keyboard.is_attended() => before = Some(reply),
            (Ok(reply), Some(file)) => {
                runtime.spawn(underway::tell(file, reply, host.clone(), screen.clone()));
            }
            (Ok(_), None) => {}
            (Err(error), _) => say(error.to_string()),
        }
    }
}
