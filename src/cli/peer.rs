//! One peer in the foreground: its news on the screen, its commands from the keyboard.

use super::args::AtEnd;
use super::completing::Names;
use super::console::{self, Screen};
use super::repl::{self, INTERRUPTED, Input};
use super::tell::{self, Line};
use super::{FAILED, OUT_OF_REACH, REFUSED, terminal};
use crate::ground::Naming;
use crate::live::{self, Config, Event, Host, Identity, Kind, StartError};
use crate::peer::{Answer, JoinError, News};
use crate::web::{self, Plate, Server, Settings};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{broadcast, oneshot};
use tokio::time::timeout;

/// How long SIGTERM lets the peer hand over and say goodbye.
const TERMINATE_WAITS: Duration = Duration::from_secs(8);

/// How long the end waits for a screen that nobody reads.
const SCREEN_WAITS: Duration = Duration::from_millis(500);

/// Runs a peer until it leaves, or is made to.
pub fn run(config: Config, web: Settings, at_end: AtEnd) -> ExitCode {
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("Cannot start: {error}")),
    };
    let code = runtime.block_on(serve(config, web, at_end));
    // Not waiting for file work: what is durable has been told, the rest is void.
    runtime.shutdown_background();
    terminal::restore();
    code
}

async fn serve(config: Config, web: Settings, at_end: AtEnd) -> ExitCode {
    let Config { identity, naming, addr, overlay, .. } = config;
    let opened = match web.open() {
        Ok(opened) => opened,
        Err(error) => return fail(&format!("Cannot start: {error}")),
    };
    let (host, events) = match Host::start(config).await {
        Ok(started) => started,
        Err(error) => return fail(&cannot_start(&error, identity, naming, addr)),
    };
    if let Identity::Kept { .. } = identity {
        let places: Vec<String> = host.addrs().iter().map(ToString::to_string).collect();
        eprintln!("Listening at {}", places.join(" and "));
    }
    let terminate = match catch_signals() {
        Ok(terminate) => terminate,
        Err(error) => return fail(&format!("Cannot start: {error}")),
    };
    let server = Server::start(host.clone(), events.resubscribe(), naming, overlay, opened);
    let server = server.inspect_err(|error| eprintln!("Commands of other terminals do not find this peer: {error}"));
    if let Some((http, token)) =
        server.as_ref().ok().and_then(|server| server.plate().http.zip(server.plate().token.clone()))
    {
        eprintln!("HTTP at http://{http}; what changes something takes the token in {}", token.display());
    }
    let names = Names::default();
    let (keyboard, screen) = console::open(names.clone());
    let printed = print_events(events, naming, screen.clone(), names);
    let unasked = || web::plate(&host, naming, overlay, PathBuf::new());
    let plate = server.as_ref().map_or_else(|_| unasked(), |server| server.plate().clone());
    let input = Input { keyboard, at_end };
    read_words(input, screen, host.clone(), overlay, plate);
    let code = until_gone(&host, terminate, printed).await;
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
            tell::names(&event).into_iter().for_each(|name| names.hear_of(name.as_str()));
            tell::lines(naming, &event).iter().for_each(|line| screen.print(line));
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
        Event::News(News::JoinFailed(JoinError::Taken(_))) => Some(ExitCode::from(REFUSED)),
        Event::News(News::JoinFailed(JoinError::Silence(_))) => Some(ExitCode::from(OUT_OF_REACH)),
        _ => None,
    }
}

fn read_words(input: Input, screen: Screen, host: Host, kind: Kind, plate: Plate) {
    let runtime = Handle::current();
    thread::spawn(move || repl::run(input, &screen, &host, kind, &plate, &runtime));
}

async fn until_gone(host: &Host, mut terminate: Signal, mut printed: oneshot::Receiver<ExitCode>) -> ExitCode {
    tokio::select! {
        code = &mut printed => return code.unwrap_or(ExitCode::SUCCESS),
        () = host.ended() => {}
        _ = terminate.recv() => {
            // An error: it has left already.
            let _ = host.leave();
            let _ = timeout(TERMINATE_WAITS, host.ended()).await;
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
            format!("Peer {} is already running on port {}", naming.call(id), addr.port())
        }
        _ => format!("Cannot start: {error}"),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(FAILED)
}
