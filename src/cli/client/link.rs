//! The connection to a running peer: HTTP over its socket.

use super::{failed, find};
use crate::cli::args::client::Asking;
use crate::ground::Naming;
use crate::web::Plate;
use crate::web::schema::{Code, Object, Outcome, Trouble};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task;

/// The longest line of a reply, in bytes. Guess: a file that a thousand peers hold has 70 kB.
const MAX_LINE_BYTES: usize = 1 << 20;

/// A running peer that can be asked.
pub struct Link {
    plate: Plate,
    runtime: Handle,
    /// Connections that nobody uses just now.
    idle: Mutex<Vec<Lane>>,
    /// What it tells is shown as it is.
    pub json: bool,
}

/// Routes that change what the network keeps, or who is in it.
const CHANGING: [&str; 4] = ["/v1/store", "/v1/rm", "/v1/set", "/v1/quit"];

/// Something of that was asked for.
static ASKED_TO_CHANGE: AtomicBool = AtomicBool::new(false);

/// What is asked for from now on changes something, whatever its route.
pub fn is_to_change() {
    ASKED_TO_CHANGE.store(true, Ordering::Relaxed);
}

/// A peer may go on with what we asked of it, whatever becomes of us.
pub fn may_go_on() -> bool {
    ASKED_TO_CHANGE.load(Ordering::Relaxed)
}

/// A line of a reply, as it came; and what it says, if we know that.
pub struct Line<'l> {
    /// As it came.
    pub text: &'l str,
    /// What it says.
    pub object: Option<&'l Object>,
}

/// How listening ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// No more is wanted.
    Enough,
    /// The connection ended: there is no more.
    All,
}

impl Link {
    /// Finds the peer that is meant.
    pub fn find(asking: &Asking, runtime: &Handle) -> Result<Link, Trouble> {
        let plate = runtime.block_on(find::find(asking.peer.as_deref()))?;
        Ok(Link { plate, runtime: runtime.clone(), idle: Mutex::default(), json: asking.json })
    }

    /// To a peer that is found already, for people.
    pub fn to(plate: Plate, runtime: Handle) -> Link {
        Link { plate, runtime, idle: Mutex::default(), json: false }
    }

    /// How people call it.
    pub fn name(&self) -> &str {
        &self.plate.name
    }

    /// How its network names peers.
    pub fn naming(&self) -> Naming {
        self.plate.naming.into()
    }

    /// Asks for something, and hands on each line of the reply but the last.
    pub fn post(&self, route: &str, wish: &impl Serialize, each: impl FnMut(Line)) -> Result<Outcome, Trouble> {
        if CHANGING.contains(&route) {
            is_to_change();
        }
        let body = serde_json::to_vec(wish).expect("wishes are text and numbers");
        self.ask(Method::POST, route, body, each)
    }

    /// Asks for something that takes no more words.
    pub fn get(&self, route: &str, each: impl FnMut(Line)) -> Result<Outcome, Trouble> {
        self.ask(Method::GET, route, Vec::new(), each)
    }

    /// Asks for what has no end, and hands on each line as it comes, as long as more is wanted. Fails with what the peer
    /// says instead.
    pub fn listen(&self, route: &str, mut more: impl FnMut(&str) -> bool) -> Result<Heard, Trouble> {
        let lines = async {
            let mut sender = connect(&self.plate).await?;
            let mut response = send(&self.plate, &mut sender, request(Method::GET, route, Vec::new())).await?;
            if !response.status().is_success() {
                return Err(refusal(&self.plate, &mut response).await);
            }
            let enough = read(&mut response, |text| (!more(text)).then_some(Heard::Enough)).await?;
            Ok(enough.unwrap_or(Heard::All))
        };
        self.runtime.block_on(lines)
    }

    fn ask(&self, method: Method, route: &str, body: Vec<u8>, each: impl FnMut(Line)) -> Result<Outcome, Trouble> {
        let idle = self.idle().pop();
        let mut lane = idle.map_or_else(|| Lane::new(&self.plate), Ok)?;
        let outcome = lane.runtime.block_on(lane.wire.ask(method, route, body, each));
        self.idle().push(lane);
        outcome
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that the thread which asks looks after itself: of many wishes, none wakes another thread.
struct Lane {
    runtime: Runtime,
    wire: Wire,
}

impl Lane {
    fn new(plate: &Plate) -> Result<Lane, Trouble> {
        let runtime = Builder::new_current_thread().enable_io().build().map_err(failed)?;
        Ok(Lane { runtime, wire: Wire::new(plate.clone()) })
    }
}

/// A connection to a running peer, made when it is needed and kept: one wish at a time.
pub struct Wire {
    plate: Plate,
    sender: Option<Sender>,
}

type Sender = SendRequest<Full<Bytes>>;

impl Wire {
    /// To the peer that left this plate.
    pub fn new(plate: Plate) -> Wire {
        Wire { plate, sender: None }
    }

    /// Asks for something, and hands on each line of the reply but the last.
    pub async fn ask(
        &mut self,
        method: Method,
        route: &str,
        body: Vec<u8>,
        mut each: impl FnMut(Line),
    ) -> Result<Outcome, Trouble> {
        if let Some(kept) = &mut self.sender
            && kept.ready().await.is_err()
        {
            self.sender = None;
        }
        let sender = match &mut self.sender {
            Some(kept) => kept,
            none => none.insert(connect(&self.plate).await?),
        };
        let mut response = send(&self.plate, sender, request(method, route, body)).await?;
        let last = read(&mut response, |text| match serde_json::from_str(text).ok() {
            Some(Object::Done { outcome }) => Some(Ok(outcome)),
            Some(Object::Error(trouble)) => Some(Err(trouble)),
            object => {
                each(Line { text, object: object.as_ref() });
                None
            }
        });
        let last = last.await?.ok_or_else(|| lost(&self.plate, "it ended before it answered"))?;
        // A connection can be kept only if its reply was read to the end. That it has gone since is no trouble.
        while let Some(Ok(_)) = response.frame().await {}
        last
    }
}

fn request(method: Method, route: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(route).header(header::HOST, "localhost");
    request.body(Full::new(Bytes::from(body))).expect("our routes make requests")
}

async fn connect(plate: &Plate) -> Result<Sender, Trouble> {
    let stream = UnixStream::connect(&plate.socket).await.map_err(|error| lost(plate, error))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(plate, error))?;
    task::spawn(connection);
    Ok(sender)
}

async fn send(
    plate: &Plate,
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Trouble> {
    sender.send_request(request).await.map_err(|error| lost(plate, error))
}

/// Reads a reply line by line, until one of them is the last; none: the connection ended before.
async fn read<T>(
    response: &mut Response<Incoming>,
    mut last: impl FnMut(&str) -> Option<T>,
) -> Result<Option<T>, Trouble> {
    let mut waiting: Vec<u8> = Vec::new();
    // Broken off or not: who is killed breaks off.
    while let Some(Ok(frame)) = response.frame().await {
        waiting.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            if let Some(last) = last(&String::from_utf8_lossy(&line[..end])) {
                return Ok(Some(last));
            }
        }
        if waiting.len() > MAX_LINE_BYTES {
            return Err(Trouble::new(Code::Failed, "the peer says more in a line than this program reads"));
        }
    }
    Ok(None)
}

/// What a peer says that does not do what it was asked for.
async fn refusal(plate: &Plate, response: &mut Response<Incoming>) -> Trouble {
    let status = response.status();
    let said = read(response, |text| match serde_json::from_str(text) {
        Ok(Object::Error(trouble)) => Some(trouble),
        Ok(_) | Err(_) => None,
    });
    match said.await {
        Ok(Some(trouble)) | Err(trouble) => trouble,
        Ok(None) => Trouble::new(Code::Failed, format!("peer {} answers {status}, and not why", plate.name)),
    }
}

fn lost(plate: &Plate, why: impl ToString) -> Trouble {
    let message = format!("peer {} cannot be asked: {}", plate.name, why.to_string());
    Trouble::new(Code::OutOfReach, message)
}
