//! One-shot commands: a running peer is found, asked, and what it tells is shown.

mod bars;
mod find;
mod keys;
mod link;
mod looking;
mod many;
mod passing;
mod request;
mod show;
mod store;
mod watching;

use super::args::client::{Asking, Called, Client};
use super::sights;
use super::speech;
use super::{DAMAGED, FAILED, IN_PART, INTERRUPTED, NOT_THERE, OUT_OF_REACH, REFUSED, TIMED_OUT, WRONG_USAGE};
use crate::ground::FileName;
use crate::live;
use crate::store::seal::SealKey;
use crate::web::schema::{Code, Object, Outcome, Trouble};
pub use link::{Link, Wire};
pub use passing::Passing;
use std::collections::BTreeSet;
use std::future;
use std::path::{self, Path, PathBuf};
use std::process::{self, ExitCode};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task;
use tokio::time::sleep;
pub use watching::listen;

/// Exit code of a process that is told to end: 128 and the signal's number, as shells have it.
const TERMINATED: u8 = 128 + 15;
/// The same, where its terminal is gone.
const HUNG_UP: u8 = 128 + 1;

/// What is said of a peer that was asked to change something.
const MAY_GO_ON: &str = "the peer may still be doing it";

/// Does it. Whatever ends it, no passing file stays.
pub fn run(client: Client) -> ExitCode {
    let Asking { json, timeout, color, .. } = client.asking().clone();
    bars::open(json, color);
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return finish(json, Err(failed(error))),
    };
    let outcome = runtime.block_on(async {
        let handle = Handle::current();
        // Heard from now on: what is begun must not be ended without a word.
        let signalled = signalled();
        // Reading, sealing and asking block; meanwhile this thread hears signals and the clock.
        let work = task::spawn_blocking(move || perform(client, &handle));
        tokio::select! {
            outcome = work => outcome.expect("commands do not panic, and nobody aborts them"),
            code = signalled => {
                if link::may_go_on() {
                    show::aside(MAY_GO_ON);
                }
                end(code)
            }
            () = elapsed(timeout) => {
                finish(json, Err(late(timeout.unwrap_or_default())));
                end(TIMED_OUT)
            }
        }
    });
    finish(json, outcome)
}

/// Makes a key file.
pub fn seal_key(file: &Path) -> ExitCode {
    match SealKey::generate_key_file(file) {
        Ok(_) => {
            say(&format!("made {}: whoever has it opens what is sealed with it, and nobody else", file.display()));
            ExitCode::SUCCESS
        }
        Err(error) => finish(false, Err(failed(error))),
    }
}

fn perform(client: Client, runtime: &Handle) -> Result<Outcome, Trouble> {
    let link = |asking: &Asking| Link::find(asking, runtime);
    match client {
        Client::Store(store) => store::store(&store, link),
        Client::Request(request) => request::request(&request, link),
        Client::Rm(rm) => looking::remove(&rm, link),
        Client::Ls(ls) => looking::list(&link(&ls.asking)?),
        Client::Check(check) => looking::check(&check, link),
        Client::History(history) => looking::history(&history, link),
        Client::Set(set) => looking::set(&set, link),
        Client::Get(get) => looking::get(&get, link),
        Client::Status(status) => looking::status(&link(&status.asking)?),
        Client::Ring(ring) => looking::contacts(&link(&ring.asking)?, sights::ring),
        Client::Peers(peers) => looking::contacts(&link(&peers.asking)?, sights::peers),
        Client::Find(find) => looking::find(&find, link),
        Client::Ping(ping) => looking::ping(&ping, link),
        Client::Watch(watch) => watching::watch(&watch, link),
        Client::Quit(quit) => looking::quit(&quit, &link(&quit.asking)?),
    }
}

/// Says how it ended.
fn finish(json: bool, outcome: Result<Outcome, Trouble>) -> ExitCode {
    bars::close();
    let exit = match &outcome {
        Ok(outcome) => exit_done(*outcome),
        Err(trouble) => exit_failed(trouble.code),
    };
    match outcome {
        Ok(outcome) if json => say(Object::Done { outcome }.line().trim_end()),
        Ok(_) => {}
        Err(trouble) if json => say(Object::Error(trouble).line().trim_end()),
        Err(trouble) => show::trouble(&trouble),
    }
    ExitCode::from(exit)
}

fn exit_done(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Good => 0,
        Outcome::Few => IN_PART,
        Outcome::Damaged => DAMAGED,
    }
}

fn exit_failed(code: Code) -> u8 {
    match code {
        Code::Failed => FAILED,
        Code::Usage => WRONG_USAGE,
        Code::NotFound => NOT_THERE,
        Code::OutOfReach | Code::NoPeer => OUT_OF_REACH,
        Code::Damaged => DAMAGED,
        Code::Refused => REFUSED,
        Code::Timeout => TIMED_OUT,
    }
}

/// Resolves to an exit code when we are told to end, from this call on.
pub fn signalled() -> impl Future<Output = u8> {
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    async {
        let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = signals else {
            // Then the system's own way of ending us is left.
            return future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => INTERRUPTED,
            _ = terminate.recv() => TERMINATED,
            _ = hangup.recv() => HUNG_UP,
        }
    }
}

async fn elapsed(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => future::pending().await,
    }
}

/// Ends at once, whatever the other thread does.
fn end(code: u8) -> ! {
    bars::close();
    keys::restore_echo();
    if passing::end_all() {
        show::kept();
    }
    process::exit(code.into())
}

fn late(limit: Duration) -> Trouble {
    let trouble = Trouble::new(Code::Timeout, format!("not done within {limit:?}"));
    if link::may_go_on() { trouble.hint(MAY_GO_ON) } else { trouble }
}

/// A name, checked before anybody is asked.
fn name_of(text: &str) -> Result<FileName, Trouble> {
    FileName::parse(text).map_err(|error| Trouble::new(Code::Usage, error))
}

/// The key of a value, checked before anybody is asked.
fn key_of(text: &str) -> Result<&str, Trouble> {
    if text.is_empty() { Err(Trouble::new(Code::Usage, "a key has at least one letter")) } else { Ok(text) }
}

/// How a file is called in the network.
fn called(file: &Called) -> Result<FileName, Trouble> {
    let name = name_of(&file.name)?;
    if !file.hide_name {
        return Ok(name);
    }
    let key = keys::given(&file.key)?.map_or_else(|| keys::asked(false), Ok)?;
    key.hidden_name(&name).map_err(keys::trouble)
}

/// Fails where two of the names are the same.
fn distinct<'n>(names: impl Iterator<Item = &'n FileName>) -> Result<(), Trouble> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let message = format!("two of the files are called {name} in the network: take them one after the other");
            return Err(Trouble::new(Code::Usage, message));
        }
    }
    Ok(())
}

/// The same path for whoever works in another folder.
fn absolute(path: &Path) -> Result<PathBuf, Trouble> {
    path::absolute(path).map_err(|error| failed(format!("{}: {error}", path.display())))
}

fn failed(why: impl ToString) -> Trouble {
    Trouble::new(Code::Failed, why)
}

/// A result.
fn say(line: &str) {
    bars::close();
    speech::say(line);
}
