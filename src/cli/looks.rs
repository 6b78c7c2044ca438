//! Looks typed at a running peer: the same calls and the same tables as those of the one-shot commands.

use super::client::{self, Link};
use super::console::Screen;
use super::tell::Line;
use super::words::Look;
use super::{report, sights, who};
use crate::ground::Naming;
use crate::live::{Host, Reply};
use crate::peer::{Answer, Ruler};
use crate::web::schema::Seen;
use crate::web::{self, Plate};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tokio::runtime::Handle;

/// Where looks are typed.
pub struct Looker<'l> {
    pub host: &'l Host,
    pub plate: &'l Plate,
    pub screen: &'l Screen,
    pub runtime: &'l Handle,
    /// What happens is being shown, until this is unset.
    pub watching: Option<Arc<AtomicBool>>,
}

impl Looker<'_> {
    /// Shows what happens from now on; or no more, if it was shown.
    fn watch(&mut self, kinds: Vec<String>) {
        if let Some(watching) = self.watching.take()
            && watching.swap(false, Ordering::Relaxed)
        {
            return self.screen.print(&Line::Out("What happens is not shown any more".to_owned()));
        }
        let watching = Arc::new(AtomicBool::new(true));
        self.watching = Some(watching.clone());
        let (link, screen) = (Link::to(self.plate.clone(), self.runtime.clone()), self.screen.clone());
        thread::spawn(move || {
            let mut heard = false;
            let ended = client::listen(&link, None, &kinds, |line| {
                heard = true;
                let wanted = watching.load(Ordering::Relaxed);
                if wanted {
                    screen.print(&Line::Out(line.to_owned()));
                }
                wanted
            });
            // Who has told something ends with the peer, as this prompt does.
            if let Err(trouble) = ended
                && !heard
            {
                let hint = trouble.hint.map_or(String::new(), |hint| format!(": {hint}"));
                screen.print(&Line::Aside(format!("{}{hint}", trouble.message)));
            }
            watching.store(false, Ordering::Relaxed);
        });
    }
}

/// Begins a look, and shows what was seen as soon as it is. The reply ends when that is shown. An error: why it was not
/// begun.
pub fn begin(look: Look, looker: &mut Looker) -> Result<Option<Reply>, String> {
    let Looker { host, plate, screen, .. } = *looker;
    let begun = match &look {
        Look::Watch(kinds) => {
            looker.watch(kinds.clone());
            return Ok(None);
        }
        Look::Status => {
            screen.print(&Line::Out(web::described(plate)));
            return Ok(None);
        }
        Look::Ring | Look::Peers => host.contacts(),
        Look::Ping(peer) => host.ping(web::whom(&who::resolved(peer).map_err(|error| error.to_string())?)),
        Look::Find { name, mode } => host.trace(name, mode.map(Ruler::from)),
    };
    let reply = begun.map_err(|error| error.to_string())?;
    let (naming, screen) = (plate.naming.into(), screen.clone());
    let (shown, ended) = tokio::sync::oneshot::channel();
    // A ping of somebody silent takes seconds, in which others may be typed.
    thread::spawn(move || {
        if let Ok(answer) = reply.blocking_recv() {
            lines(naming, &look, &answer).into_iter().for_each(|line| screen.print(&Line::Out(line)));
            // Nobody waits where somebody sits.
            let _ = shown.send(answer);
        }
    });
    Ok(Some(ended))
}

/// What an answer shows. What could not be done is told as that of any command.
fn lines(naming: Naming, look: &Look, answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Contacts(contacts) => {
            let seen = Seen::contacts(naming, contacts);
            if *look == Look::Peers { sights::peers(&seen) } else { sights::ring(&seen) }
        }
        Answer::Pinged { contact, round_trip, attempts } => {
            sights::pinged(&[Seen::pinged(naming, *contact, *round_trip, *attempts)])
        }
        Answer::Traced(trace) => {
            let absence = || format!("File {} {}", trace.name, report::absence(trace.absence, trace.asked));
            let absent = trace.holders.is_empty().then(absence);
            sights::way(&Seen::trace(naming, trace)).into_iter().chain(absent).collect()
        }
        // No look ends so, or the reason is told as that of any command.
        other => {
            debug_assert!(matches!(other, Answer::Unable(_) | Answer::Failed { .. }), "{other:?}");
            Vec::new()
        }
    }
}
