//! The routes: each takes a wish, and replies with lines as they come.

use super::answers::{self, Subject};
use super::looking;
use super::schema::{
    CheckWish, Code, GetWish, NameWish, Object, Outcome, Phase, Plate, RequestWish, SetWish, StoreWish, Trouble,
};
use super::verdict::{self, Verdict, verdict};
use crate::ground::{FileName, Naming};
use crate::live::{Event, Host, Reply, Unheard};
use crate::peer::Answer;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http_body_util::channel::{Channel, Sender};
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::task;
use tokio::time::{Instant, sleep};

/// The longest wish, in bytes: two paths of 4096, and each byte of them escaped.
const MAX_WISH_BYTES: usize = 64 << 10;

/// Most wishes under way. Guess: more than the peer does at once, which says so itself.
const MOST_WISHES: usize = 256;

/// Most lines that wait for whoever asked to read them.
const WAITING_LINES: usize = 64;

/// How often those who wait hear what happens. Guess: often enough to watch.
const PHASES_EVERY: Duration = Duration::from_millis(100);

/// Objects told in one write: some 50 KB.
const OBJECTS_A_WRITE: usize = 256;

/// How long a repair is waited for.
const REPAIR_WAITS: Duration = Duration::from_secs(60);

/// How often is looked whether a repair is done. Guess: a copy takes its place in less, and a look reads all of them.
const REPAIR_LOOKS: Duration = Duration::from_secs(1);

/// What all routes share.
pub struct Control {
    /// The peer.
    pub host: Host,
    naming: Naming,
    /// Never read itself: others begin where they begin.
    events: broadcast::Receiver<Event>,
    plate: Plate,
    wishes: Arc<Semaphore>,
}

impl Control {
    /// For a host that tells these events.
    pub fn new(host: Host, naming: Naming, events: broadcast::Receiver<Event>, plate: Plate) -> Control {
        Control { host, naming, events, plate, wishes: Arc::new(Semaphore::new(MOST_WISHES)) }
    }
}

/// All routes.
pub fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/files", get(files))
        .route("/v1/store", post(store))
        .route("/v1/request", post(request))
        .route("/v1/rm", post(remove))
        .route("/v1/check", post(check))
        .route("/v1/history", post(history))
        .route("/v1/set", post(set))
        .route("/v1/get", post(get_value))
        .route("/v1/quit", post(quit))
        .merge(looking::routes())
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(MAX_WISH_BYTES))
        .with_state(control)
}

/// What handlers are given.
pub type Shared = State<Arc<Control>>;

async fn nothing() -> Response {
    refuse(Trouble::new(Code::Usage, "there is no such route"))
}

async fn status(State(control): Shared) -> Response {
    let lines = [Object::Status(control.plate.clone()), Object::Done { outcome: Outcome::Good }];
    reply(StatusCode::OK, Body::from(lines.map(|object| object.line()).concat()))
}

async fn files(State(control): Shared) -> Response {
    let begun = control.host.list();
    control.follow(Subject::default(), begun)
}

async fn store(State(control): Shared, body: Bytes) -> Response {
    let wish: StoreWish = match wish(&body) {
        Ok(wish) => wish,
        Err(trouble) => return refuse(trouble),
    };
    let path = match absolute(&wish.path) {
        Ok(path) => path,
        Err(trouble) => return refuse(trouble),
    };
    let begun = control.host.store_as(&path, &wish.name, wish.ttl_s.map(Duration::from_secs));
    control.follow(about_file(&wish.name), begun)
}

async fn request(State(control): Shared, body: Bytes) -> Response {
    let wish: RequestWish = match wish(&body) {
        Ok(wish) => wish,
        Err(trouble) => return refuse(trouble),
    };
    let path = match absolute(&wish.path) {
        Ok(path) => path,
        Err(trouble) => return refuse(trouble),
    };
    let begun = control.host.request_to(&wish.name, wish.version, Some(path));
    control.follow(Subject { path: wish.path, ..about_file(&wish.name) }, begun)
}

async fn remove(State(control): Shared, body: Bytes) -> Response {
    match wish::<NameWish>(&body) {
        Ok(NameWish { name }) => control.follow(about_file(&name), control.host.remove(&name)),
        Err(trouble) => refuse(trouble),
    }
}

async fn history(State(control): Shared, body: Bytes) -> Response {
    match wish::<NameWish>(&body) {
        Ok(NameWish { name }) => control.follow(about_file(&name), control.host.inspect(&name, false, false)),
        Err(trouble) => refuse(trouble),
    }
}

async fn check(State(control): Shared, body: Bytes) -> Response {
    let CheckWish { name, repair } = match wish(&body) {
        Ok(wish) => wish,
        Err(trouble) => return refuse(trouble),
    };
    let subject = Subject { judged: true, ..about_file(&name) };
    let begun = control.host.inspect(&name, true, repair);
    if repair { control.repair(name, subject, begun) } else { control.follow(subject, begun) }
}

async fn set(State(control): Shared, body: Bytes) -> Response {
    match wish::<SetWish>(&body) {
        Ok(SetWish { key, value }) => {
            let begun = control.host.set(&key, value.as_bytes());
            control.follow(Subject { key, ..Subject::default() }, begun)
        }
        Err(trouble) => refuse(trouble),
    }
}

async fn get_value(State(control): Shared, body: Bytes) -> Response {
    match wish::<GetWish>(&body) {
        Ok(GetWish { key }) => {
            let begun = control.host.get(&key);
            control.follow(Subject { key, ..Subject::default() }, begun)
        }
        Err(trouble) => refuse(trouble),
    }
}

async fn quit(State(control): Shared) -> Response {
    let begun = control.host.leave();
    control.stream(begun, |_, reply, lines| async move {
        let _ = lines.tell(&Object::Phase(Phase::Leaving)).await;
        lines.answer(Naming::Numbered, &Subject::default(), reply.await).await;
    })
}

/// The lines of one reply. An error: whoever asked is gone.
struct Lines {
    sender: tokio::sync::Mutex<Sender<Bytes>>,
    _turn: OwnedSemaphorePermit,
}

impl Lines {
    async fn tell(&self, object: &Object) -> Result<(), ()> {
        self.sender.lock().await.send_data(Bytes::from(object.line())).await.map_err(|_| ())
    }

    /// Tells several, with few writes.
    async fn tell_all(&self, objects: &[Object]) -> Result<(), ()> {
        for some in objects.chunks(OBJECTS_A_WRITE) {
            let text: String = some.iter().map(Object::line).collect();
            self.sender.lock().await.send_data(Bytes::from(text)).await.map_err(|_| ())?;
        }
        Ok(())
    }

    /// The end of it.
    async fn answer<E>(&self, naming: Naming, subject: &Subject, answer: Result<Answer, E>) {
        // Whoever asked may be gone.
        let _ = self.tell_all(&answered(naming, subject, answer)).await;
    }
}

/// What is told of an answer, or of its not coming.
fn answered<E>(naming: Naming, subject: &Subject, answer: Result<Answer, E>) -> Vec<Object> {
    match answer {
        Ok(answer) => answers::objects(naming, subject, answer),
        Err(_) => vec![Object::Error(answers::unheard(Unheard::Ended))],
    }
}

/// What has been told of a file since the last time.
fn phases(control: &Control, subject: &Subject, events: &mut broadcast::Receiver<Event>) -> Vec<Object> {
    let mut phases = Vec::new();
    loop {
        match events.try_recv() {
            Ok(event) => {
                let file = subject.file.as_ref();
                phases.extend(file.and_then(|file| answers::phase(control.naming, file, &event)));
            }
            Err(broadcast::error::TryRecvError::Lagged(_)) => {}
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => return phases,
        }
    }
}

impl Control {
    /// Tells what happens to a file under way, and the answer.
    pub fn follow(self: &Arc<Self>, subject: Subject, begun: Result<Reply, Unheard>) -> Response {
        let mut events = self.events.resubscribe();
        self.stream(begun, |control, mut reply, lines| async move {
            loop {
                // Not woken by each event: with many files under way most of them are about others.
                let answer = tokio::select! {
                    answer = &mut reply => Some(answer),
                    () = sleep(PHASES_EVERY) => None,
                };
                // News first: they were told before the answer.
                let mut told = phases(&control, &subject, &mut events);
                let ended = answer.is_some();
                told.extend(answer.into_iter().flat_map(|answer| answered(control.naming, &subject, answer)));
                if lines.tell_all(&told).await.is_err() || ended {
                    return;
                }
            }
        })
    }

    /// Looks again and again until there are as many good copies as wanted, or it takes too long.
    fn repair(self: &Arc<Self>, name: String, subject: Subject, begun: Result<Reply, Unheard>) -> Response {
        self.stream(begun, |control, mut reply, lines| async move {
            let (begun, mut lacked) = (Instant::now(), false);
            loop {
                let answer = reply.await;
                let (good, wanted) = match &answer {
                    Ok(Answer::Inspected { holders, wanted, .. }) => match verdict(holders, *wanted) {
                        Verdict::Few | Verdict::Damaged => (verdict::good(holders), *wanted),
                        Verdict::Good if lacked => {
                            let good = verdict::good(holders);
                            let _ = lines.tell(&Object::Repaired { name, good }).await;
                            return lines.answer(control.naming, &subject, answer).await;
                        }
                        Verdict::Good | Verdict::None => {
                            return lines.answer(control.naming, &subject, answer).await;
                        }
                    },
                    Ok(_) | Err(_) => return lines.answer(control.naming, &subject, answer).await,
                };
                lacked = true;
                if begun.elapsed() >= REPAIR_WAITS {
                    return lines.answer(control.naming, &subject, answer).await;
                }
                let phase = Phase::Repairing { name: name.clone(), good, wanted };
                if lines.tell(&Object::Phase(phase)).await.is_err() {
                    return;
                }
                sleep(REPAIR_LOOKS).await;
                reply = match control.host.inspect(&name, true, false) {
                    Ok(reply) => reply,
                    Err(error) => {
                        // Whoever asked may be gone.
                        let _ = lines.tell(&Object::Error(answers::unheard(error))).await;
                        return;
                    }
                };
            }
        })
    }

    /// A reply that goes on while `work` does, unless nothing was begun.
    fn stream<W: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        begun: Result<Reply, Unheard>,
        work: impl FnOnce(Arc<Control>, Reply, Lines) -> W,
    ) -> Response {
        let Ok(turn) = self.wishes.clone().try_acquire_owned() else {
            return refuse(answers::unheard(Unheard::Busy));
        };
        match begun {
            Err(error) => refuse(answers::unheard(error)),
            Ok(begun) => {
                let (sender, body) = Channel::<Bytes, Infallible>::new(WAITING_LINES);
                let lines = Lines { sender: tokio::sync::Mutex::new(sender), _turn: turn };
                task::spawn(work(self.clone(), begun, lines));
                reply(StatusCode::OK, Body::new(body))
            }
        }
    }
}

/// News of this file belong to the reply.
pub fn about_file(name: &str) -> Subject {
    Subject { file: FileName::parse(name).ok(), ..Subject::default() }
}

/// What a body wishes.
pub fn wish<T: DeserializeOwned>(body: &Bytes) -> Result<T, Trouble> {
    serde_json::from_slice(body).map_err(|error| Trouble::new(Code::Usage, format!("the wish is no wish: {error}")))
}

/// Whoever asks works in another folder than the peer.
fn absolute(path: &str) -> Result<PathBuf, Trouble> {
    let path = Path::new(path);
    let relative = || Trouble::new(Code::Usage, "give the file by its absolute path");
    path.is_absolute().then(|| path.to_owned()).ok_or_else(relative)
}

/// Why nothing was begun.
pub fn refuse(trouble: Trouble) -> Response {
    let status = match trouble.code {
        Code::Usage => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::OutOfReach | Code::NoPeer => StatusCode::SERVICE_UNAVAILABLE,
        Code::Refused => StatusCode::FORBIDDEN,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Failed | Code::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
    };
    reply(status, Body::from(Object::Error(trouble).line()))
}

fn reply(status: StatusCode, body: Body) -> Response {
    (status, [(header::CONTENT_TYPE, "application/jsonl")], body).into_response()
}
