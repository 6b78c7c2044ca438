//! Leaving politely: finish what was asked of us, hand over what nobody else has, say goodbye, be asked back, go.

use super::*;
use crate::ground::krpc::Ping;
use std::collections::BTreeSet;

/// Handing over copies that others have too ends after this: they will be made anew without us.
const COPIES_LIMIT: Duration = Duration::from_secs(3);
/// Who waits longer than this is told why.
const TELL_AFTER: Duration = Duration::from_millis(500);
/// A file that nobody else has is handed over to the end, within reason.
const LAST_COPY_LIMIT: Duration = Duration::from_secs(15 * 60);
/// However few answer our goodbye, we go after this.
const GOODBYE_LIMIT: Duration = Duration::from_millis(1500);

/// What commands are told that have not ended by then.
const LEFT_BEFORE: &str = "this peer left before it was done";

/// A peer that is leaving.
pub(super) struct Leaving {
    ticket: Ticket,
    since: Moment,
    /// When to stop handing over, if it has not ended by itself.
    until: Moment,
    told_of_handover: bool,
    goodbye: Option<Goodbye>,
}

struct Goodbye {
    until: Moment,
    /// Who has not asked us back yet: only then do they believe it.
    waiting: BTreeSet<Contact>,
}

/// How many files these are versions of.
fn names<'m>(versions: impl Iterator<Item = &'m Manifest>) -> usize {
    versions.map(|manifest| manifest.name.key()).collect::<BTreeSet<Id>>().len()
}

impl Peer {
    pub(super) fn start_leaving(&mut self, now: Moment, ticket: Ticket) {
        if self.standing != Standing::Member || self.leaving.is_some() {
            self.go();
            return self.answer(ticket, Answer::Left);
        }
        self.leaving =
            Some(Leaving { ticket, since: now, until: now + COPIES_LIMIT, told_of_handover: false, goodbye: None });
        self.handover_now(now);
        self.hand_all_values(now);
    }

    pub(super) fn leaving_due(&self) -> Moment {
        match &self.leaving {
            None => Moment::NEVER,
            Some(Leaving { goodbye: Some(goodbye), .. }) => goodbye.until,
            Some(leaving) => leaving.until,
        }
    }

    pub(super) fn go_on_leaving(&mut self, now: Moment) {
        let Some(leaving) = &self.leaving else { return };
        if let Some(goodbye) = &leaving.goodbye {
            if now >= goodbye.until || goodbye.waiting.is_empty() {
                self.go();
            }
            return;
        }
        let last_copies = self.last_copies();
        if last_copies > 0 && !leaving.told_of_handover && now.since(leaving.since) > TELL_AFTER {
            self.leaving.as_mut().expect("seen just above").told_of_handover = true;
            return self.news(News::HandingOver { files: last_copies });
        }
        let limit = if last_copies > 0 { LAST_COPY_LIMIT } else { COPIES_LIMIT };
        let until = leaving.since + limit;
        let idle = self.handover.is_idle() && self.keeping.is_idle();
        if idle && self.errands.is_empty() && self.walks.is_idle() || now >= until {
            let files = names(self.only_here().filter(|file| !file.content.is_removed()));
            if files > 0 {
                self.news(News::NotTaken { files });
            }
            return self.say_goodbye(now);
        }
        self.leaving.as_mut().expect("seen just above").until = until;
    }

    /// Files that nobody else is known to have, while there is somebody who could take them.
    fn last_copies(&self) -> usize {
        names(self.only_here().filter(|file| self.may_be_taken(file)))
    }

    /// Versions that nobody else is known to have, while there is anybody else.
    fn only_here(&self) -> impl Iterator<Item = &Manifest> {
        let somebody = !self.overlay.contacts().is_empty();
        let all = self.shelf.iter().map(|(_, version)| version);
        all.filter(move |(_, note)| somebody && note.confirmed.is_empty()).map(|(manifest, _)| manifest)
    }

    fn say_goodbye(&mut self, now: Moment) {
        self.standing = Standing::Leaving;
        self.fail_commands(LEFT_BEFORE);
        let contacts = self.overlay.contacts();
        for contact in &contacts {
            self.ask(now, *contact, Question::Ping(Ping::Quiet), Patience::Search, Why::Goodbye);
        }
        let goodbye = Goodbye { until: now + GOODBYE_LIMIT, waiting: contacts.into_iter().collect() };
        self.leaving.as_mut().expect("only called while leaving").goodbye = Some(goodbye);
        self.go_on_leaving(now);
    }

    /// Whatever is still under way ends now.
    fn go(&mut self) {
        self.fail_commands(LEFT_BEFORE);
        self.standing = Standing::Gone;
        if let Some(leaving) = self.leaving.take() {
            self.answer(leaving.ticket, Answer::Left);
        }
    }

    /// A peer pings us, and our answer says that we leave.
    pub(super) fn asked_back(&mut self, asker: Contact) {
        if let Some(Leaving { goodbye: Some(goodbye), .. }) = &mut self.leaving {
            goodbye.waiting.remove(&asker);
        }
    }
}
