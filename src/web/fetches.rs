//! Files of others, brought here to be read: each once, however many ask for it or for parts of it.

use super::answers::{self, Subject};
use super::control::Control;
use super::schema::{Code, Object, Trouble};
use super::verdict;
use crate::ground::{Content, FileName};
use crate::live::{Growing, Interest, Opened, Unheard};
use crate::peer::{Absence, Answer};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::{self, JoinError, JoinHandle};
use tokio::time::{Instant, sleep};

/// Most searches and fetches at once; more wait. Guess: twice what the peer transfers at once.
const MOST_AT_ONCE: usize = 16;

/// How often is looked whether bytes have come that somebody waits for.
const LOOKS_EVERY: Duration = Duration::from_millis(10);

/// Most files that stay open for who wants more of them, and how long. Guess: a player asks for the next part soon.
const MOST_OPEN: usize = 4;
const STAYS_OPEN: Duration = Duration::from_secs(60);

/// What was fetched, and what is being fetched.
pub struct Fetches {
    turns: Semaphore,
    recent: Mutex<VecDeque<Recent>>,
    next: AtomicU64,
}

struct Recent {
    content: Content,
    since: Instant,
    cell: Arc<OnceCell<Opened>>,
}

/// A file of the network.
pub enum Known {
    /// It is here.
    Here(Opened),
    /// Others have it.
    Elsewhere {
        /// What it is.
        content: Content,
        /// Which version.
        version: u64,
    },
}

impl Known {
    /// What it is.
    pub fn content(&self) -> Content {
        match self {
            Known::Here(opened) => opened.content(),
            Known::Elsewhere { content, .. } => *content,
        }
    }
}

/// A file that can be read.
pub enum Readable {
    /// All of it is here.
    Whole(Opened),
    /// It is on its way.
    Growing {
        /// What has come.
        growing: Growing,
        /// All of it, when it is here.
        whole: JoinHandle<Result<Opened, Trouble>>,
    },
}

impl Readable {
    /// The bytes from `at` to the end of their chunk, as soon as they are here. An error: they will not come, or are not
    /// what they were.
    pub async fn read(&mut self, at: u64) -> Result<Vec<u8>, Trouble> {
        loop {
            match self {
                Readable::Whole(opened) => {
                    return opened.read(at).await.map_err(|error| Trouble::new(Code::Damaged, error));
                }
                Readable::Growing { growing, .. } if let Some(bytes) = growing.read(at).await => return Ok(bytes),
                Readable::Growing { whole, .. } => tokio::select! {
                    opened = &mut *whole => *self = Readable::Whole(brought(opened)?),
                    () = sleep(LOOKS_EVERY) => {}
                },
            }
        }
    }
}

/// What a task has brought.
fn brought(outcome: Result<Result<Opened, Trouble>, JoinError>) -> Result<Opened, Trouble> {
    outcome.unwrap_or_else(|_| Err(answers::unheard(Unheard::Ended)))
}

impl Default for Fetches {
    fn default() -> Fetches {
        let (recent, next) = (Mutex::default(), AtomicU64::new(0));
        Fetches { turns: Semaphore::new(MOST_AT_ONCE), recent, next }
    }
}

impl Fetches {
    /// Where a content is to be opened once; others wait for it there.
    fn cell(&self, content: Content) -> Arc<OnceCell<Opened>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = recent.iter_mut().find(|recent| recent.content == content) {
            found.since = Instant::now();
            return found.cell.clone();
        }
        if recent.len() == MOST_OPEN {
            recent.pop_front();
        }
        let cell = Arc::<OnceCell<Opened>>::default();
        recent.push_back(Recent { content, since: Instant::now(), cell: cell.clone() });
        cell
    }

    fn close_old(&self) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|recent| recent.since.elapsed() < STAYS_OPEN);
    }
}

impl Control {
    /// Finds a file: what is here answers at once, of all else the network is asked.
    pub async fn find(self: &Arc<Self>, name: &FileName) -> Result<Known, Trouble> {
        if let Some(opened) = self.host.open(name).await {
            return Ok(Known::Here(opened));
        }
        let answer = {
            let _turn = self.fetches.turns.acquire().await.expect("it is never closed");
            let reply = self.host.inspect(name.as_str(), false, false).map_err(answers::unheard)?;
            reply.await.map_err(|_| answers::unheard(Unheard::Ended))?
        };
        let best = match &answer {
            Answer::Inspected { holders, .. } => verdict::best(holders).filter(|best| !best.content.is_removed()),
            _ => None,
        };
        match best {
            Some(best) => Ok(Known::Elsewhere { content: best.content, version: best.version }),
            // One of the assignment's may lie in somebody's folder; nobody knows its hash.
            None if name.four_digits().is_some() => self.fetch(name, None).await.map(Known::Here),
            None => Err(self.absent(answer).await),
        }
    }

    /// Brings it here, unless it was brought a moment ago. Returns when its bytes begin to come.
    pub async fn bring(self: &Arc<Self>, name: &FileName, content: Content, version: u64) -> Result<Readable, Trouble> {
        let (control, name) = (self.clone(), name.clone());
        let mut whole = task::spawn(async move {
            let cell = control.fetches.cell(content);
            cell.get_or_try_init(|| control.fetch(&name, Some(version))).await.cloned()
        });
        loop {
            tokio::select! {
                whole = &mut whole => return brought(whole).map(Readable::Whole),
                () = sleep(LOOKS_EVERY) => {}
            }
            if let Some(growing) = self.host.growing(&content) {
                return Ok(Readable::Growing { growing, whole });
            }
        }
    }

    /// Goes on though whoever asked first leaves: others wait, and what has arrived is not to stay behind.
    async fn fetch(self: &Arc<Self>, name: &FileName, version: Option<u64>) -> Result<Opened, Trouble> {
        let (control, name) = (self.clone(), name.clone());
        let fetching = task::spawn(async move {
            let _turn = control.fetches.turns.acquire().await.expect("it is never closed");
            control.fetch_now(&name, version).await
        });
        brought(fetching.await)
    }

    async fn fetch_now(self: &Arc<Self>, name: &FileName, version: Option<u64>) -> Result<Opened, Trouble> {
        let number = self.fetches.next.fetch_add(1, Ordering::Relaxed);
        // By name and version: what breaks off is gone on with the next time.
        let stem = version.map_or_else(|| format!("{number}"), |version| format!("{}-{version}", name.key()));
        let path = self.host.fetched_path(&stem).map_err(answers::unheard)?;
        let reply =
            self.host.request_to(name.as_str(), version, path.clone(), Interest::LASTING).map_err(answers::unheard)?;
        match reply.await.map_err(|_| answers::unheard(Unheard::Ended))? {
            Answer::Fetched { .. } => {}
            // Trying again may help: that is what the code says.
            Answer::Failed { name, reason } => {
                return Err(Trouble::new(Code::OutOfReach, format!("{name}: {reason}")));
            }
            answer => return Err(self.absent(answer).await),
        }
        let opened = self.host.open_fetched(path).await.map_err(|reason| Trouble::new(Code::Failed, reason))?;
        let control = self.clone();
        task::spawn(async move {
            sleep(STAYS_OPEN).await;
            control.fetches.close_old();
        });
        Ok(opened)
    }

    /// Why there is nothing. Where nobody but this peer was asked, though it knows others, these are silent.
    async fn absent(&self, mut answer: Answer) -> Trouble {
        if let Answer::Inspected { asked, absence, .. } | Answer::NotFound { asked, absence, .. } = &mut answer
            && *asked <= 1
            && *absence == Absence::NeverStored
            && let Ok(look) = self.host.look().await
            && !look.view.contacts.is_empty()
        {
            *absence = Absence::OutOfReach { silent: look.view.contacts.len() };
        }
        // Judged, a removed file is none.
        let subject = Subject { judged: true, ..Subject::default() };
        match answers::objects(self.naming, &subject, answer).pop() {
            Some(Object::Error(trouble)) => trouble,
            _ => Trouble::new(Code::Failed, "the answer is none to this question"),
        }
    }
}
