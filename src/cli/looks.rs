//! Looks typed at a running peer: the same calls and the same tables as those of the one-shot commands.

use super::console::Screen;
use super::tell::Line;
use super::words::Look;
use super::{report, sights, who};
use crate::ground::Naming;
use crate::live::{Host, Reply};
use crate::peer::{Answer, Ruler};
use crate::web::schema::Seen;
use crate::web::{self, Plate};
use std::thread;

/// Begins a look, and shows what was seen as soon as it is. The reply ends when that is shown. An error: why it was not
/// begun.
pub fn begin(look: Look, host: &Host, plate: &Plate, screen: &Screen) -> Result<Option<Reply>, String> {
    let begun = match &look {
        Look::Status => {
            screen.print(&Line::Out(web::described(plate)));
            return Ok(None);
        }
        Look::Ring | Look::Peers => host.contacts(),
        Look::Ping(peer) => host.ping(web::whom(&who::resolved(peer)?)),
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
