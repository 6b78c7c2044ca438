//! What a host answers and tells, as the objects of the interface.

use super::schema::{Code, CopyHealth, FileVersion, Object, Outcome, Phase, Search, Seen, Trouble, Who};
use super::verdict::{self, Verdict, verdict};
use crate::ground::item::as_text;
use crate::ground::{Copy, FileName, Id, Item, Naming};
use crate::live::{Event, Unheard};
use crate::peer::{Absence, Answer, JoinError, News, Successors};

/// What was wished, as far as its answer does not say.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The file's name.
    pub file: Option<FileName>,
    /// Where a file is put.
    pub path: String,
    /// The key of a value.
    pub key: String,
    /// Copies are to be judged, not only told.
    pub judged: bool,
}

/// An answer; the last object is `done` or `error`.
pub fn objects(naming: Naming, subject: &Subject, answer: Answer) -> Vec<Object> {
    match answer {
        Answer::Stored { copies, .. } if copies.is_empty() => {
            vec![error(Code::OutOfReach, "no peer that could keep it answers: try again in a moment")]
        }
        Answer::Stored { manifest, copies, wanted, .. } => {
            let outcome = if copies.len() < wanted { Outcome::Few } else { Outcome::Good };
            let (file, holders) = (FileVersion::new(naming, &manifest), Who::all(naming, &copies));
            let place = Who::new(naming, naming.place(&manifest.name));
            let object = match manifest.content.is_removed() {
                true => Object::Removed { file, holders, wanted },
                false => Object::Stored { file, place, holders, wanted },
            };
            vec![object, Object::Done { outcome }]
        }
        Answer::Fetched { name, from } => {
            let (name, path) = (name.to_string(), subject.path.clone());
            done(vec![Object::Fetched { name, path, from: Who::new(naming, from) }])
        }
        Answer::NotFound { name, asked, absence } => vec![absent(&name, absence, asked)],
        Answer::Inspected { name, holders, asked, absence, wanted } => {
            if verdict(&holders, wanted) == Verdict::None && (subject.judged || holders.is_empty()) {
                let absence = if holders.is_empty() { absence } else { Absence::Removed };
                return vec![absent(&name, absence, asked)];
            }
            let mut told = copies(naming, &holders);
            if !subject.judged {
                return done(told);
            }
            let outcome = match verdict(&holders, wanted) {
                Verdict::Good => Outcome::Good,
                Verdict::Few => Outcome::Few,
                Verdict::Damaged => Outcome::Damaged,
                Verdict::None => unreachable!("absent files are told above"),
            };
            let good = verdict::good(&holders);
            told.push(Object::Checked { name: name.to_string(), good, wanted, asked });
            told.push(Object::Done { outcome });
            told
        }
        Answer::LookedUp(_) => done(Vec::new()),
        Answer::Listed { files, asked, silent } => {
            let file = |(manifest, holders): &(_, Vec<Id>)| Object::File {
                file: FileVersion::new(naming, manifest),
                holders: Who::all(naming, holders),
            };
            let mut told: Vec<Object> = files.iter().map(file).collect();
            told.push(Object::Files { files: files.len(), asked, silent });
            done(told)
        }
        Answer::Put { copies, .. } if copies.is_empty() => {
            vec![error(Code::OutOfReach, "no peer that could keep it answers: try again in a moment")]
        }
        Answer::Put { copies, .. } => {
            done(vec![Object::ValueSet { key: subject.key.clone(), holders: Who::all(naming, &copies) }])
        }
        Answer::Found(item) => done(vec![value(&subject.key, &item)]),
        Answer::NoValue { asked: 0 } => vec![error(Code::OutOfReach, "nobody could be asked")],
        Answer::NoValue { asked } => {
            let (key, asked) = (&subject.key, verdict::counted(asked, "peer"));
            vec![error(Code::NotFound, &format!("{key} is not set ({asked} asked)"))]
        }
        Answer::Failed { name, reason } => vec![error(Code::Failed, &format!("{name}: {reason}"))],
        Answer::Unable(reason) => vec![error(Code::OutOfReach, &reason)],
        Answer::Refused(reason) => vec![error(Code::Refused, &reason)],
        Answer::Contacts(contacts) => done(seen(Seen::contacts(naming, &contacts))),
        Answer::Pinged { contact, round_trip, attempts } => {
            done(seen(vec![Seen::pinged(naming, contact, round_trip, attempts)]))
        }
        Answer::Traced(trace) => {
            let told = seen(Seen::trace(naming, &trace));
            match trace.holders.is_empty() {
                true => told.into_iter().chain([absent(&trace.name, trace.absence, trace.asked)]).collect(),
                false => done(told),
            }
        }
        Answer::Left => done(Vec::new()),
        Answer::Announced(_) | Answer::Peers { .. } | Answer::Samples { .. } => {
            unreachable!("no route is about torrents")
        }
    }
}

/// News that are about a file under way.
pub fn phase(naming: Naming, file: &FileName, event: &Event) -> Option<Object> {
    let Event::News(news) = event else { return None };
    let who = |id: &Id| Who::new(naming, *id);
    let (about, phase) = match news {
        News::RequestSent(name) | News::StoreForwarded(name) => (name, Phase::Searching { name: name.to_string() }),
        News::Asking { name, hop, asked } => (name, Phase::Asking { name: name.to_string(), hop: *hop, asked: *asked }),
        News::Sending { name, to } => (name, Phase::Sending { name: name.to_string(), to: who(to) }),
        News::Receiving { name, from } => (name, Phase::Receiving { name: name.to_string(), from: who(from) }),
        News::HolderFailed { name, holder, error } => {
            let (holder, reason) = (who(holder), error.to_string());
            (name, Phase::HolderFailed { name: name.to_string(), holder, reason })
        }
        News::StoreAccepted(_)
        | News::NotHere(_)
        | News::FileHere(_)
        | News::Sent
        | News::PingsSent(_)
        | News::PingReceived(_)
        | News::PingAnswered(_)
        | News::JoinForwarded(_)
        | News::JoinReceived(_)
        | News::SuccessorChangeReceived
        | News::Joined(_)
        | News::JoinFailed(_)
        | News::SuccessorsChanged(_)
        | News::Departing(_)
        | News::Silent(_)
        | News::Dead(_)
        | News::HandingOver { .. }
        | News::NotTaken { .. } => return None,
    };
    (about == file).then_some(Object::Phase(phase))
}

/// What is told to all of what happened: news, and how commands ended.
pub fn told(naming: Naming, me: Id, event: Event) -> Vec<Object> {
    match event {
        Event::News(news) => tidings(naming, me, news).into_iter().collect(),
        Event::Answer { subject, answer, .. } => {
            let subject = Subject { key: subject.unwrap_or_default(), ..Subject::default() };
            ending(naming, &subject, answer)
        }
    }
}

/// How a command ended. What whoever gave it wanted to know is for nobody else; nor is that it is done.
fn ending(naming: Naming, subject: &Subject, answer: Answer) -> Vec<Object> {
    match answer {
        Answer::Inspected { .. }
        | Answer::Listed { .. }
        | Answer::Found(_)
        | Answer::Announced(_)
        | Answer::Peers { .. }
        | Answer::Samples { .. }
        | Answer::Contacts(_)
        | Answer::Pinged { .. }
        | Answer::Traced(_) => Vec::new(),
        Answer::Left => done(Vec::new()),
        answer => {
            let mut told = objects(naming, subject, answer);
            told.retain(|object| !matches!(object, Object::Done { .. }));
            told
        }
    }
}

fn tidings(naming: Naming, me: Id, news: News) -> Option<Object> {
    let who = |id: Id| Who::new(naming, id);
    let named = |successors: Successors| Who::all(naming, &[successors.first, successors.second]);
    let hop = |name: FileName, search, passes| Object::Hop { name: name.to_string(), search, passes };
    Some(match news {
        News::StoreForwarded(name) => hop(name, Search::Store, true),
        News::StoreAccepted(name) => hop(name, Search::Store, false),
        News::NotHere(name) => hop(name, Search::Request, true),
        News::FileHere(name) => hop(name, Search::Request, false),
        News::RequestSent(name) => Object::Phase(Phase::Searching { name: name.to_string() }),
        News::Sending { name, to } => Object::Phase(Phase::Sending { name: name.to_string(), to: who(to) }),
        News::Receiving { name, from } => Object::Phase(Phase::Receiving { name: name.to_string(), from: who(from) }),
        News::HolderFailed { name, holder, error } => {
            let (name, holder, reason) = (name.to_string(), who(holder), error.to_string());
            Object::Phase(Phase::HolderFailed { name, holder, reason })
        }
        News::HandingOver { .. } => Object::Phase(Phase::Leaving),
        News::NotTaken { files } => Object::Phase(Phase::NotTaken { files }),
        News::JoinReceived(peer) => Object::PeerJoined { peer: who(peer), successors: Vec::new() },
        News::Joined(successors) => {
            Object::PeerJoined { peer: who(me), successors: successors.map(named).unwrap_or_default() }
        }
        News::JoinFailed(error @ (JoinError::Taken(_) | JoinError::Elsewhere { .. })) => {
            Object::Error(Trouble::new(Code::Refused, error))
        }
        News::JoinFailed(error @ JoinError::Silence(_)) => Object::Error(Trouble::new(Code::OutOfReach, error)),
        News::SuccessorsChanged(successors) => Object::Successors { successors: named(successors) },
        News::Departing(peer) => Object::PeerLeft { peer: who(peer) },
        News::Silent(peer) => Object::PeerSilent { peer: who(peer) },
        News::Dead(peer) => Object::PeerDead { peer: who(peer) },
        News::Sent
        // Many, and only for who waits.
        | News::Asking { .. }
        | News::PingsSent(_)
        | News::PingReceived(_)
        | News::PingAnswered(_)
        | News::JoinForwarded(_)
        | News::SuccessorChangeReceived => return None,
    })
}

/// Why a command was not even begun.
pub fn unheard(error: Unheard) -> Trouble {
    match error {
        Unheard::BadName(_) | Unheard::BadPath => Trouble::new(Code::Usage, error),
        Unheard::ValueTooLong { .. } => Trouble::new(Code::Refused, error),
        Unheard::Busy => Trouble::new(Code::Failed, error),
        Unheard::Ended => Trouble::new(Code::OutOfReach, error),
    }
}

/// Each version that each holder has.
fn copies(naming: Naming, holders: &[(Id, Vec<Copy>)]) -> Vec<Object> {
    let held = holders.iter().flat_map(|(holder, copies)| copies.iter().map(|copy| (*holder, copy)));
    let told = |(holder, copy): (Id, &Copy)| Object::Copy {
        holder: Who::new(naming, holder),
        file: FileVersion::new(naming, &copy.manifest),
        health: CopyHealth::of(copy),
    };
    held.map(told).collect()
}

fn value(key: &str, item: &Item) -> Object {
    let key = key.to_owned();
    match as_text(item.value()).and_then(|text| str::from_utf8(text).ok()) {
        Some(text) => Object::Value { key, value: Some(text.to_owned()), value_hex: None },
        None => {
            let hex = item.value().iter().map(|byte| format!("{byte:02x}")).collect();
            Object::Value { key, value: None, value_hex: Some(hex) }
        }
    }
}

fn absent(name: &FileName, absence: Absence, asked: usize) -> Object {
    let code = match absence {
        Absence::NeverStored | Absence::Removed | Absence::HoldersGone | Absence::NoSuchVersion { .. } => {
            Code::NotFound
        }
        Absence::Damaged => Code::Damaged,
        Absence::OutOfReach { .. } => Code::OutOfReach,
    };
    error(code, &format!("{name} {}", verdict::absence(absence, asked)))
}

fn done(mut objects: Vec<Object>) -> Vec<Object> {
    objects.push(Object::Done { outcome: Outcome::Good });
    objects
}

fn seen(all: Vec<Seen>) -> Vec<Object> {
    all.into_iter().map(Object::Seen).collect()
}

fn error(code: Code, message: &str) -> Object {
    Object::Error(Trouble::new(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::{Content, Manifest};

    fn told(subject: &Subject, answer: Answer) -> Vec<Object> {
        objects(Naming::Numbered, subject, answer)
    }

    fn code(answer: Answer) -> Code {
        match told(&Subject::default(), answer).pop() {
            Some(Object::Error(trouble)) => trouble.code,
            other => panic!("{other:?}"),
        }
    }

    fn manifest(content: Content) -> Manifest {
        Manifest::after(None, FileName::parse("a.pdf").unwrap(), content, Id::numbered(4))
    }

    #[test]
    fn failures_have_their_codes() {
        let name = FileName::parse("a.pdf").unwrap();
        let absent = |absence| Answer::NotFound { name: name.clone(), asked: 3, absence };
        assert_eq!(code(absent(Absence::NeverStored)), Code::NotFound);
        assert_eq!(code(absent(Absence::Removed)), Code::NotFound);
        assert_eq!(code(absent(Absence::Damaged)), Code::Damaged);
        assert_eq!(code(absent(Absence::OutOfReach { silent: 1 })), Code::OutOfReach);
        assert_eq!(code(Answer::NoValue { asked: 3 }), Code::NotFound);
        assert_eq!(code(Answer::NoValue { asked: 0 }), Code::OutOfReach);
        assert_eq!(code(Answer::Refused("no".into())), Code::Refused);
        assert_eq!(unheard(Unheard::Ended).code, Code::OutOfReach);
    }

    #[test]
    fn fewer_copies_than_wanted_is_done_in_part_and_none_is_out_of_reach() {
        let stored = |copies: &[u8], wanted| {
            let copies = copies.iter().copied().map(Id::numbered).collect();
            let manifest = manifest(Content { hash: [7; 32], len_bytes: 1 });
            told(&Subject::default(), Answer::Stored { manifest, replaces: false, copies, wanted }).pop().unwrap()
        };
        assert_eq!(stored(&[1, 2], 2), Object::Done { outcome: Outcome::Good });
        assert_eq!(stored(&[1, 2], 3), Object::Done { outcome: Outcome::Few });
        assert!(matches!(stored(&[], 3), Object::Error(Trouble { code: Code::OutOfReach, .. })));
    }

    #[test]
    fn a_removed_file_has_a_history_and_cannot_be_checked() {
        let copy = Copy { manifest: manifest(Content::REMOVED), health: crate::ground::Health::Verified };
        let answer = Answer::Inspected {
            name: FileName::parse("a.pdf").unwrap(),
            holders: vec![(Id::numbered(4), vec![copy])],
            wanted: 1,
            asked: 1,
            absence: Absence::Removed,
        };
        let history = told(&Subject::default(), answer.clone());
        assert!(matches!(history[..], [Object::Copy { .. }, Object::Done { .. }]), "{history:?}");
        let check = told(&Subject { judged: true, ..Subject::default() }, answer);
        assert!(matches!(check[..], [Object::Error(Trouble { code: Code::NotFound, .. })]), "{check:?}");
    }

    #[test]
    fn only_news_about_the_file_are_told() {
        let file = FileName::parse("a.pdf").unwrap();
        let receiving = |name| Event::News(News::Receiving { name: FileName::parse(name).unwrap(), from: Id::ZERO });
        assert!(phase(Naming::Numbered, &file, &receiving("a.pdf")).is_some());
        assert!(phase(Naming::Numbered, &file, &receiving("b.pdf")).is_none());
        assert!(phase(Naming::Numbered, &file, &Event::News(News::Sent)).is_none());
    }
}
