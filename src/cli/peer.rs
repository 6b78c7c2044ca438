//! One peer in the foreground: its news on the screen, its commands from the keyboard.

use super::args::Manner;
use super::asked::Asked;
use super::completing::{self, Asker, Completing, Names};
use super::console::{self, Screen};
use super::manager::Manager;
use super::repl::{self, INTERRUPTED, Input};
use super::tell::{self, Line};
use super::{FAILED, OUT_OF_REACH, REFUSED, speech, terminal};
use crate::ground::Naming;
use crate::live::{self, Beginning, Config, Event, Host, Identity, Kind, StartError};
use crate::peer::{Answer, JoinError, KNOCK_FOR, News, Standing};
use crate::web::{self, Plate, Server};
use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{broadcast, oneshot};
use tokio::task;
use tokio::time::timeout;

/// How long the end waits for a screen that nobody reads.
const SCREEN_WAITS: Duration = Duration::from_millis(500);

/// Guess: by then somebody at a terminal wonders.
const TELL_OF_WAITING_AFTER: Duration = Duration::from_secs(1);

/// Runs a peer until it leaves, or is made to.
pub fn run(config: Config, manner: Manner) -> ExitCode {
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("Cannot start: {error}")),
    };
    let code = runtime.block_on(serve(config, manner));
    // Not waiting for file work: what is durable has been told, the rest is void.
    runtime.shutdown_background();
    terminal::restore();
    code
}

async fn serve(config: Config, manner: Manner) -> ExitCode {
    let Config { identity, naming, addr, overlay, .. } = config;
    let folders = config.folders.clone();
    let Manner { web, at_end, leave_within } = manner;
    let known = match &config.start {
        Beginning::Join(known) => known.first().map(ToString::to_string),
        Beginning::Ring(_) => None,
    };
    // First of all: process 1 of a container does not even end by a signal that it does not catch.
    let mut terminate = match catch_signals() {
        Ok(terminate) => terminate,
        Err(error) => return fail(&format!("Cannot start: {error}")),
    };
    let opened = match web.open() {
        Ok(opened) => opened,
        Err(error) => return fail(&format!("Cannot start: {error}")),
    };
    let started = tokio::select! {
        started = Host::start(config) => started,
        _ = terminate.recv() => return ExitCode::SUCCESS,
    };
    let (host, events) = match started {
        Ok(started) => started,
        Err(error) => {
            fail(&cannot_start(&error, identity, naming, addr));
            return ExitCode::from(match error {
                StartError::Unnamed { .. } | StartError::Unreachable { .. } => OUT_OF_REACH,
                StartError::PortInUse(_) => REFUSED,
                _ => FAILED,
            });
        }
    };
    if let Identity::Kept { .. } = identity {
        let places: Vec<String> = host.addrs().iter().map(ToString::to_string).collect();
        speech::aside(&format!("Listening at {}", places.join(" and ")));
    }
    let manager = Arc::new(Manager::found());
    if known.is_none() {
        manager.ready();
    }
    task::spawn(tell_manager(manager.clone(), events.resubscribe()));
    let server = Server::start(host.clone(), events.resubscribe(), naming, overlay, opened);
    let server = server.inspect_err(|error| {
        speech::aside(&format!("Commands of other terminals do not find this peer: {error}"));
    });
    if let Some((http, token)) =
        server.as_ref().ok().and_then(|server| server.plate().http.zip(server.plate().token.clone()))
    {
        speech::aside(&format!("HTTP at http://{http}; what changes something takes the token in {}", token.display()));
    }
    let (names, asked) = (Names::default(), Asked::default());
    let asker =
        Asker { host: host.clone(), naming, runtime: Handle::current(), names: names.clone(), asked: asked.clone() };
    let (keyboard, screen) = console::open(Completing::new(names.clone(), Some(asker)));
    if let Some(known) = known.filter(|_| io::stderr().is_terminal()) {
        task::spawn(tell_of_waiting(known, events.resubscribe(), screen.clone()));
    }
    let unasked = || web::plate(&host, naming, overlay, PathBuf::new());
    let plate = server.as_ref().map_or_else(|_| unasked(), |server| server.plate().clone());
    let joined = task::spawn(joined(host.clone(), events.resubscribe()));
    let input = Input { keyboard, at_end, joined, folders, asked: asked.clone() };
    let printed = print_events(events, naming, screen.clone(), names, asked);
    read_words(input, screen, host.clone(), overlay, plate);
    let code = until_gone(&host, (terminate, leave_within), &manager, printed).await;
    manager.stopping();
    if let Ok(server) = server {
        server.close().await;
    }
    code
}

/// Ctrl-C ends the program at once; SIGTERM is for the caller to hear.
fn catch_signals() -> Result<Signal, Box<dyn Error>> {
    ctrlc::set_handler(|| terminal::exit(INTERRUPTED))?;
    Ok(signal(SignalKind::terminate())?)
}

/// Prints everything on a thread of its own, because a screen may block. Resolves to the exit code when the peer is gone.
fn print_events(
    mut events: broadcast::Receiver<Event>,
    naming: Naming,
    screen: Screen,
    names: Names,
    asked: Asked,
) -> oneshot::Receiver<ExitCode> {
    let (done, printed) = oneshot::channel();
    thread::spawn(move || {
        let code = loop {
            let event = match events.blocking_recv() {
                Ok(event) => event,
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    screen.print(&Line::Aside(format!("{lost} events are not shown: the output is not read")));
                    continue;
                }
                Err(broadcast::error::RecvError::Closed) => break ExitCode::SUCCESS,
            };
            tell::names(&event).into_iter().for_each(|name| names.hear_of(completing::Kind::File, name.as_str()));
            if let Event::Answer { subject: Some(key), answer: Answer::Put { .. } | Answer::Found(_), .. } = &event {
                names.hear_of(completing::Kind::Key, key);
            }
            asked.lines(naming, &event).iter().for_each(|line| screen.print(line));
            if let Some(code) = last_word(&event) {
                break code;
            }
        };
        // The other side may have stopped waiting.
        let _ = done.send(code);
    });
    printed
}

/// The exit code, if this event is the end.
fn last_word(event: &Event) -> Option<ExitCode> {
    match event {
        Event::Answer { answer: Answer::Left, .. } => Some(ExitCode::SUCCESS),
        Event::News(News::JoinFailed(JoinError::Taken(_) | JoinError::Elsewhere { .. })) => {
            Some(ExitCode::from(REFUSED))
        }
        Event::News(News::JoinFailed(JoinError::Silence(_))) => Some(ExitCode::from(OUT_OF_REACH)),
        _ => None,
    }
}

fn read_words(input: Input, screen: Screen, host: Host, kind: Kind, plate: Plate) {
    let runtime = Handle::current();
    thread::spawn(move || repl::run(input, &screen, &host, kind, &plate, &runtime));
}

/// Resolves when it has joined its network: to false if it never will.
async fn joined(host: Host, mut events: broadcast::Receiver<Event>) -> bool {
    loop {
        match host.look().await.map(|look| look.view.standing) {
            Ok(Standing::Joining) => {}
            Ok(Standing::Member | Standing::Leaving) => return true,
            Ok(Standing::Gone) | Err(_) => return false,
        }
        // Whatever was told or missed: it may be that.
        if let Err(broadcast::error::RecvError::Closed) = events.recv().await {
            return false;
        }
    }
}

/// Says who is waited for, where joining takes longer than anybody expects.
async fn tell_of_waiting(known: String, mut events: broadcast::Receiver<Event>, screen: Screen) {
    let ended = async {
        while !matches!(
            events.recv().await,
            Ok(Event::News(News::Joined(_) | News::JoinFailed(_))) | Err(broadcast::error::RecvError::Closed)
        ) {}
    };
    if timeout(TELL_OF_WAITING_AFTER, ended).await.is_err() {
        screen.print(&Line::Aside(format!("No answer from {known} yet: it is asked for {KNOCK_FOR:?}")));
    }
}

/// Tells the service manager how the peer is.
async fn tell_manager(manager: Arc<Manager>, mut events: broadcast::Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(Event::News(News::Joined(_))) => manager.ready(),
            Ok(Event::News(News::HandingOver { .. })) => manager.stopping(),
            Ok(Event::News(_) | Event::Answer { .. }) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// `terminate`: the signal, and how long it lets the peer hand over and say goodbye.
async fn until_gone(
    host: &Host,
    terminate: (Signal, Duration),
    manager: &Manager,
    mut printed: oneshot::Receiver<ExitCode>,
) -> ExitCode {
    let (mut signalled, leave_within) = terminate;
    tokio::select! {
        code = &mut printed => return code.unwrap_or(ExitCode::SUCCESS),
        () = host.ended() => {}
        _ = signalled.recv() => {
            manager.stopping();
            // An error: it has left already.
            let _ = host.leave();
            let _ = timeout(leave_within, host.ended()).await;
        }
    }
    match timeout(SCREEN_WAITS, printed).await {
        Ok(Ok(code)) => code,
        _ => ExitCode::SUCCESS,
    }
}

fn cannot_start(error: &StartError, identity: Identity, naming: Naming, addr: SocketAddr) -> String {
    match (error, identity) {
        (StartError::PortInUse(_), Identity::Given(id)) if id.number().is_some() => {
            let (number, port) = (naming.call(id), addr.port());
            format!(
                "Port {port} of peer {number} is in use, perhaps by that peer: choose another number, or --base-port"
            )
        }
        _ => format!("Cannot start: {error}"),
    }
}

fn fail(message: &str) -> ExitCode {
    speech::aside(message);
    ExitCode::from(FAILED)
}
