//! What all routes share, and replies that go on while the work does.

use super::answers::{self, Subject};
use super::fetches::Fetches;
use super::moving::Moving;
use super::replies::{refuse, reply};
use super::schema::{Object, Phase, Plate, Trouble};
use super::told::Told;
use super::verdict::{self, Verdict, verdict};
use crate::ground::Naming;
use crate::live::{Event, Host, Reply, Unheard, Waiting};
use crate::peer::Answer;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::channel::{Channel, Sender};
use std::convert::Infallible;
use std::slice;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, oneshot};
use tokio::task;
use tokio::time::{Instant, sleep};

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
    /// How its network names peers.
    pub naming: Naming,
    /// How it is found.
    pub plate: Plate,
    /// What it has told.
    pub told: Arc<Told>,
    /// What was fetched to be read.
    pub fetches: Fetches,
    /// How many requests were answered.
    pub served: AtomicU64,
    /// Never read itself: others begin where they begin.
    events: broadcast::Receiver<Event>,
    wishes: Arc<Semaphore>,
}

impl Control {
    /// For a host that tells these events.
    pub fn new(
        host: Host,
        naming: Naming,
        events: broadcast::Receiver<Event>,
        plate: Plate,
        told: Arc<Told>,
    ) -> Control {
        let (fetches, served) = (Fetches::default(), AtomicU64::new(0));
        Control { host, naming, plate, told, fetches, served, events, wishes: Arc::new(Semaphore::new(MOST_WISHES)) }
    }
}

/// The lines of one reply. An error: whoever asked is gone.
pub struct Lines {
    sender: tokio::sync::Mutex<Sender<Bytes>>,
    /// Who waits for the first of them, to choose the status by it.
    first: Mutex<Option<oneshot::Sender<Option<Trouble>>>>,
    _turn: OwnedSemaphorePermit,
}

impl Lines {
    /// Tells something.
    pub async fn tell(&self, object: &Object) -> Result<(), ()> {
        self.tell_all(slice::from_ref(object)).await
    }

    /// Tells several, with few writes.
    async fn tell_all(&self, objects: &[Object]) -> Result<(), ()> {
        if let Some(object) = objects.first()
            && let Some(first) = self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            let trouble = match object {
                Object::Error(trouble) => Some(trouble.clone()),
                _ => None,
            };
            // Whoever asked may be gone.
            let _ = first.send(trouble);
        }
        for some in objects.chunks(OBJECTS_A_WRITE) {
            let text: String = some.iter().map(Object::line).collect();
            self.sender.lock().await.send_data(Bytes::from(text)).await.map_err(|_| ())?;
        }
        Ok(())
    }

    /// The end of it.
    pub async fn answer<E>(&self, naming: Naming, subject: &Subject, answer: Result<Answer, E>) {
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
    pub async fn follow(self: &Arc<Self>, subject: Subject, begun: Result<Reply, Unheard>) -> Response {
        self.follow_while(Waiting::default(), subject, begun).await
    }

    /// The same, where whoever asked waits only as long as their connection lasts.
    pub async fn follow_while(
        self: &Arc<Self>,
        waiting: Waiting,
        subject: Subject,
        begun: Result<Reply, Unheard>,
    ) -> Response {
        let mut events = self.events.resubscribe();
        self.stream(begun, |control, mut reply, lines| async move {
            let _waiting = waiting;
            let mut moving = Moving::default();
            loop {
                // Not woken by each event: with many files under way most of them are about others.
                let answer = tokio::select! {
                    answer = &mut reply => Some(answer),
                    () = sleep(PHASES_EVERY) => None,
                };
                // News first: they were told before the answer.
                let mut told = phases(&control, &subject, &mut events);
                let ended = answer.is_some();
                if !ended && let Some(file) = &subject.file {
                    told.extend(moving.object(file, control.host.progress(file)));
                }
                told.extend(answer.into_iter().flat_map(|answer| answered(control.naming, &subject, answer)));
                if lines.tell_all(&told).await.is_err() || ended {
                    return;
                }
            }
        })
        .await
    }

    /// Looks again and again until there are as many good copies as wanted, or it takes too long.
    pub async fn repair(self: &Arc<Self>, name: String, subject: Subject, begun: Result<Reply, Unheard>) -> Response {
        self.stream(begun, |control, mut reply, lines| async move {
            let (begun, mut lacked) = (Instant::now(), false);
            loop {
                let answer = reply.await;
                let (good, wanted) = match &answer {
                    Ok(Answer::Inspected { holders, wanted, .. }) => match verdict(holders, *wanted) {
                        Verdict::Few | Verdict::Damaged => (verdict::good(holders), *wanted),
                        Verdict::Good if lacked => {
                            let good = verdict::good(holders);
                            let repaired = Object::Repaired { name, good };
                            control.told.tell(&repaired);
                            // Whoever asked may be gone.
                            let _ = lines.tell(&repaired).await;
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
        .await
    }

    /// A reply that goes on while `work` does, unless nothing was begun. Where the first line is an error already, it has the
    /// status that says so; what goes wrong later is the last line of a success.
    pub async fn stream<W: Future<Output = ()> + Send + 'static>(
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
                let (first, told) = oneshot::channel();
                let first = Mutex::new(Some(first));
                let lines = Lines { sender: tokio::sync::Mutex::new(sender), first, _turn: turn };
                task::spawn(work(self.clone(), begun, lines));
                match told.await {
                    Ok(Some(trouble)) => refuse(trouble),
                    Ok(None) | Err(_) => reply(StatusCode::OK, Body::new(body)),
                }
            }
        }
    }
}
