//! `p2p dht serve`: many nodes in one process, on as many threads as the machine has use for.

use super::super::args::dht::Serve;
use super::super::repl::INTERRUPTED;
use super::{Trouble, own_addrs};
use crate::cli::speech;
use crate::ground::Id;
use crate::live::{self, Bound, Node, Setup};
use serde_json::json;
use std::error::Error;
use std::future::pending;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task;
use tokio::time::timeout;

/// Most threads that nodes are spread over. Guess: the machines this runs on have few cores, and other work.
const MOST_THREADS: usize = 4;

/// Nodes of the same process that a node joins through. Guess: one may be slow.
const INTRODUCED_BY: usize = 3;

/// Most nodes that join at once.
const AT_ONCE: usize = 64;

/// Most that join at once through nodes that are not ours.
const AT_ONCE_ELSEWHERE: usize = 8;

/// Handles a process needs besides those of its nodes, and for each node: its socket, and its journal twice while it is
/// written anew.
const HANDLES: u64 = 64;
const HANDLES_A_NODE: u64 = 4;

/// A node that shall start.
struct Start {
    bound: Bound,
    setup: Setup,
    patience: Duration,
}

/// A node that has joined, or why it could not.
type Started = Result<(SocketAddr, Id), String>;

/// Serves until it is ended from outside.
pub fn run(serve: &Serve) -> ExitCode {
    live::allow_handles(HANDLES + HANDLES_A_NODE * u64::from(serve.count));
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return Trouble::failed(error).tell(serve.network.json),
    };
    match runtime.block_on(serve_all(serve)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.tell(serve.network.json),
    }
}

async fn serve_all(serve: &Serve) -> Result<(), Trouble> {
    let end = end(serve.exit_on_eof).map_err(Trouble::failed)?;
    let serving = async {
        start_all(serve).await?;
        pending().await
    };
    tokio::select! {
        _ = end => Ok(()),
        outcome = serving => outcome,
    }
}

/// Resolves when the process shall end: on SIGTERM or, if wanted, with the end of input. Ctrl-C ends it at once.
fn end(with_input: bool) -> Result<oneshot::Receiver<()>, Box<dyn Error>> {
    ctrlc::set_handler(|| process::exit(INTERRUPTED))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (done, end) = oneshot::channel();
    let (eof, input_ends) = oneshot::channel();
    if with_input {
        thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            while stdin.read(&mut [0; 256]).is_ok_and(|len| len > 0) {}
            let _ = eof.send(());
        });
    } else {
        task::spawn(async move {
            pending::<()>().await;
            drop(eof)
        });
    }
    task::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = input_ends => {}
        }
        let _ = done.send(());
    });
    Ok(end)
}

/// Starts all nodes, in waves: each joins through some that have joined before.
async fn start_all(serve: &Serve) -> Result<(), Trouble> {
    let network = &serve.network;
    let bootstrap = network.bootstrap().map_err(Trouble::out_of_reach)?;
    let own = serve.listen.map_or_else(|| own_addrs(&bootstrap), |listen| (listen, None));
    let count = usize::from(serve.count);
    let cores = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS).min(count);
    let (told, mut reports) = mpsc::unbounded_channel();
    let threads: Vec<UnboundedSender<Start>> = (0..cores).map(|_| new_thread(told.clone())).collect();
    let at_least = if bootstrap.is_empty() { 1 } else { AT_ONCE_ELSEWHERE };

    let mut members: Vec<SocketAddr> = Vec::new();
    let mut begun = 0;
    while begun < count {
        let wave = (count - begun).min(members.len().clamp(at_least, AT_ONCE));
        for at in begun..begun + wave {
            let known = introducers(at, &bootstrap, &members);
            let folder = serve.dir.as_ref().map(|dir| dir.join(at.to_string()));
            let setup = Setup { bootstrap: known, tuning: network.tuning.tuning(), folder, ..Setup::default() };
            let bound = bind(own, at).map_err(Trouble::failed)?;
            let start = Start { bound, setup, patience: network.timeout };
            threads[at % cores].send(start).map_err(|_| Trouble::failed("a thread has ended"))?;
        }
        begun += wave;
        for _ in 0..wave {
            match reports.recv().await.expect("we hold a sender ourselves") {
                Ok((addr, id)) => {
                    members.push(reachable(addr));
                    say(network.json, addr, id);
                }
                Err(why) => _ = Trouble::out_of_reach(why).tell(network.json),
            }
        }
        if members.is_empty() {
            return Err(Trouble::out_of_reach("no node could join the network"));
        }
    }
    Ok(())
}

fn bind((first, also): (SocketAddr, Option<SocketAddr>), at: usize) -> Result<Bound, String> {
    let port = match first.port() {
        0 => Some(0),
        port => u16::try_from(at).ok().and_then(|at| port.checked_add(at)),
    };
    let port = port.ok_or_else(|| format!("there are not so many ports after {}", first.port()))?;
    let addr = SocketAddr::new(first.ip(), port);
    Bound::at(addr, also).map_err(|error| format!("cannot listen at {addr}: {error}"))
}

/// Whom node number `at` joins through.
fn introducers(at: usize, bootstrap: &[SocketAddr], members: &[SocketAddr]) -> Vec<SocketAddr> {
    // Far from each other, so that nobody introduces many.
    let count = INTRODUCED_BY.min(members.len());
    let some = (0..count).map(|nth| members[(at + nth * members.len() / count) % members.len()]);
    bootstrap.iter().copied().chain(some).collect()
}

/// The address to reach a node of this machine at, wherever else it listens.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], addr.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, addr.port()))
        }
        addr => addr,
    }
}

/// A thread that nodes live on.
fn new_thread(told: UnboundedSender<Started>) -> UnboundedSender<Start> {
    let (starts, wanted) = mpsc::unbounded_channel();
    thread::spawn(move || match live::runtime() {
        Ok(runtime) => runtime.block_on(live_here(wanted, told)),
        // Whoever sends us a node is told that we have ended.
        Err(_) => drop(wanted),
    });
    starts
}

async fn live_here(mut wanted: UnboundedReceiver<Start>, told: UnboundedSender<Started>) {
    while let Some(start) = wanted.recv().await {
        let told = told.clone();
        task::spawn(async move {
            let (node, started) = start_one(start).await;
            // Nobody listens any more, where all are ending.
            let _ = told.send(started);
            drop(told);
            if node.is_some() {
                pending::<()>().await;
            }
        });
    }
    // All have been started; they live with this runtime.
    pending().await
}

async fn start_one(Start { bound, setup, patience }: Start) -> (Option<Node>, Started) {
    let node = match Node::start_at(bound, setup) {
        Ok(node) => node,
        Err(error) => return (None, Err(error.to_string())),
    };
    let addr = node.addrs()[0];
    match timeout(patience, node.joined()).await {
        Ok(Ok(())) => {
            let started = Ok((addr, node.id()));
            (Some(node), started)
        }
        Ok(Err(error)) => (None, Err(format!("{addr}: {error}"))),
        Err(_) => (None, Err(format!("{addr} could not join within {patience:?}"))),
    }
}

fn say(json: bool, addr: SocketAddr, id: Id) {
    match json {
        true => speech::say(&json!({ "event": "serving", "addr": addr.to_string(), "id": id.to_string() }).to_string()),
        false => speech::say(&format!("Serving at {addr} as {id}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_is_introduced_by_several_others() {
        let members: Vec<SocketAddr> = (1..=64).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        let first = SocketAddr::from(([127, 0, 0, 2], 7));
        assert_eq!(introducers(0, &[], &[]), []);
        assert_eq!(introducers(1, &[first], &members[..1]), [first, members[0]]);
        for at in 0..1000 {
            for known in [2, 3, 4, 64] {
                let some = introducers(at, &[], &members[..known]);
                assert_eq!(some.len(), known.min(INTRODUCED_BY));
                assert!((1..some.len()).all(|at| !some[..at].contains(&some[at])), "{at} of {known}: {some:?}");
            }
        }
    }

    #[test]
    fn ports_follow_each_other() {
        let port = |first: &str, at| {
            let bound = bind((first.parse().unwrap(), None), at);
            bound.map(|bound| bound.addrs().unwrap()[0].port())
        };
        assert_ne!(port("127.0.0.1:0", 5), Ok(5));
        assert!(port("127.0.0.1:65535", 1).is_err());
    }
}
