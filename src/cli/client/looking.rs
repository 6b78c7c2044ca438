//! Commands without files of ours: each asks, and shows what comes.

use super::bars;
use super::link::{self, Line, Link};
use super::show::{self, Files, Holders};
use super::{called, key_of, say};
use crate::cli::args::client::{Asking, Check, Get, History, Quit, Rm, Set};
use crate::cli::args::looking::{Find, Ping};
use crate::cli::report::Lacking;
use crate::cli::tell::escaped;
use crate::cli::who::Unresolved;
use crate::cli::{report, sights, who};
use crate::web::counted;
use crate::web::schema::looking::{FindWish, PingWish};
use crate::web::schema::{
    CheckWish, Code, GetWish, Mode, NameWish, Object, Outcome, Phase, QuitWish, Seen, SetWish, Trouble,
};
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

/// Lets nobody find a file any more.
pub fn remove(rm: &Rm, link: impl Fn(&Asking) -> Result<Link, Trouble>) -> Result<Outcome, Trouble> {
    let name = called(&rm.file)?;
    let link = link(&rm.asking)?;
    link.post("/v1/rm", &NameWish { name: name.to_string() }, |line| {
        link.show(&line, |object| match object {
            Object::Removed { file, holders, wanted } => vec![show::removed(file, holders, *wanted)],
            _ => Vec::new(),
        });
    })
}

/// Shows which files there are.
pub fn list(link: &Link) -> Result<Outcome, Trouble> {
    let mut files = Files::default();
    link.get("/v1/files", |line| {
        link.show(&line, |object| {
            files.note(object);
            match object {
                Object::Files { asked, silent, .. } => report::list(link.naming(), &files.0, *asked, *silent),
                _ => Vec::new(),
            }
        });
    })
}

/// Shows how the copies of a file are.
pub fn check(check: &Check, link: impl Fn(&Asking) -> Result<Link, Trouble>) -> Result<Outcome, Trouble> {
    let name = called(&check.file)?.to_string();
    let link = link(&check.asking)?;
    let mut holders = Holders::default();
    let lacking = if check.repair { Lacking::Awaited } else { Lacking::Advised };
    let wish = CheckWish { name: name.clone(), repair: check.repair };
    if check.repair {
        link::is_to_change();
    }
    let (begun, mut repairs) = (Instant::now(), Repairs::default());
    let outcome = link.post("/v1/check", &wish, |line| {
        if !link.json && line.object.is_some_and(|object| !repairs.is_news(object)) {
            return;
        }
        link.show(&line, |object| {
            holders.note(object);
            match object {
                Object::Checked { wanted, .. } => report::check(link.naming(), &name, &holders.0, *wanted, lacking),
                Object::Repaired { good, .. } => vec![format!("repaired {name}   {good} good")],
                _ => Vec::new(),
            }
        });
    })?;
    if check.repair && !link.json && outcome != Outcome::Good {
        show::aside(&in_vain(begun.elapsed()));
    }
    Ok(outcome)
}

/// How far a repair was when that was told.
#[derive(Default)]
struct Repairs(Option<(usize, usize)>);

impl Repairs {
    /// Whether it says anything that was not said just before.
    fn is_news(&mut self, object: &Object) -> bool {
        match object {
            Object::Phase(Phase::Repairing { good, wanted, .. }) => {
                self.0.replace((*good, *wanted)) != Some((*good, *wanted))
            }
            _ => true,
        }
    }
}

/// What is said of a repair that did not come to its end.
fn in_vain(waited: Duration) -> String {
    let seconds = waited.as_secs();
    format!(
        "the others were not made within {seconds} s: whoever could keep them is out of reach, or has no room; look again later"
    )
}

/// Shows the versions of a file.
pub fn history(history: &History, link: impl Fn(&Asking) -> Result<Link, Trouble>) -> Result<Outcome, Trouble> {
    let name = called(&history.file)?.to_string();
    let link = link(&history.asking)?;
    let mut holders = Holders::default();
    let outcome = link.post("/v1/history", &NameWish { name }, |line| {
        link.show(&line, |object| {
            holders.note(object);
            Vec::new()
        });
    })?;
    if !link.json {
        show::results(&report::history(link.naming(), &holders.0));
    }
    Ok(outcome)
}

/// Keeps a value.
pub fn set(set: &Set, link: impl Fn(&Asking) -> Result<Link, Trouble>) -> Result<Outcome, Trouble> {
    let wish = SetWish { key: key_of(&set.key)?.to_owned(), value: set.value.clone() };
    let link = link(&set.asking)?;
    link.post("/v1/set", &wish, |line| {
        link.show(&line, |object| match object {
            Object::ValueSet { key, holders } => {
                vec![format!("{key} is set   kept by {}", counted(holders.len(), "peer"))]
            }
            _ => Vec::new(),
        });
    })
}

/// Shows a value: to a program as it is.
pub fn get(get: &Get, link: impl Fn(&Asking) -> Result<Link, Trouble>) -> Result<Outcome, Trouble> {
    let wish = GetWish { key: key_of(&get.key)?.to_owned() };
    let link = link(&get.asking)?;
    link.post("/v1/get", &wish, |line| match line.object {
        Some(Object::Value { value: Some(text), .. }) if !link.json && !io::stdout().is_terminal() => say(text),
        _ => link.show(&line, |object| match object {
            Object::Value { value: Some(text), .. } => vec![escaped(text.as_bytes())],
            Object::Value { value_hex: Some(hex), .. } => vec![hex.clone()],
            _ => Vec::new(),
        }),
    })
}

/// Shows which peer this is.
pub fn status(link: &Link) -> Result<Outcome, Trouble> {
    link.get("/v1/status", |line| {
        link.show(&line, |object| match object {
            Object::Status(plate) => show::status(plate),
            _ => Vec::new(),
        });
    })
}

/// Shows whom the peer knows.
pub fn contacts(link: &Link, shown: fn(&[Seen]) -> Vec<String>) -> Result<Outcome, Trouble> {
    let mut seen = Vec::new();
    let outcome = link.get("/v1/contacts", |line| link.note(&line, &mut seen))?;
    link.show_seen(&seen, shown);
    Ok(outcome)
}

/// Shows the way to who keeps a file, also where nobody has it.
pub fn find(find: &Find, link: impl Fn(&Asking) -> Result<Link, Trouble>) -> Result<Outcome, Trouble> {
    let name = called(&find.file)?.to_string();
    let link = link(&find.asking)?;
    let mut seen = Vec::new();
    let wish = FindWish { name, mode: find.geometry.map(Mode::from) };
    let outcome = link.post("/v1/find", &wish, |line| link.note(&line, &mut seen));
    link.show_seen(&seen, sights::way);
    outcome
}

/// Shows how fast somebody answers.
pub fn ping(ping: &Ping, link: impl Fn(&Asking) -> Result<Link, Trouble>) -> Result<Outcome, Trouble> {
    let peer = who::resolved(&ping.peer).map_err(|error| match error {
        Unresolved::NoPlace(_) => Trouble::new(Code::Usage, error),
        Unresolved::Unknown(_) => Trouble::new(Code::OutOfReach, error),
    })?;
    let wish = PingWish { peer };
    let link = link(&ping.asking)?;
    let mut seen = Vec::new();
    let outcome = link.post("/v1/ping", &wish, |line| link.note(&line, &mut seen))?;
    link.show_seen(&seen, sights::pinged);
    Ok(outcome)
}

/// Lets a peer go, or makes it vanish.
pub fn quit(quit: &Quit, link: &Link) -> Result<Outcome, Trouble> {
    let wish = QuitWish { abrupt: quit.abrupt };
    let outcome = link.post("/v1/quit", &wish, |line| link.show(&line, |_| Vec::new()))?;
    if !link.json {
        let how = if quit.abrupt { "is gone, and told nobody" } else { "has left" };
        show::results(&[format!("peer {} {how}", link.name())]);
    }
    Ok(outcome)
}

impl Link {
    /// Shows a line to a program; keeps what it says for people, who are shown all of it at the end.
    fn note(&self, line: &Line, seen: &mut Vec<Seen>) {
        match line.object {
            Some(Object::Seen(one)) if !self.json => seen.push(one.clone()),
            _ => self.show(line, |_| Vec::new()),
        }
    }

    fn show_seen(&self, seen: &[Seen], shown: impl FnOnce(&[Seen]) -> Vec<String>) {
        if !self.json {
            show::results(&shown(seen));
        }
    }

    /// Shows a line: to a program as it came, to people as these results or as what goes on.
    pub fn show(&self, line: &Line, results: impl FnOnce(&Object) -> Vec<String>) {
        match line.object {
            _ if self.json => say(line.text),
            Some(object) if bars::show(object) => {}
            Some(Object::Progress { .. }) => {}
            Some(Object::Phase(phase)) => show::phase(phase),
            Some(object) => show::results(&results(object)),
            // A later peer's: nothing that we could say.
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_is_told_when_it_gets_on() {
        let phase = |good| Object::Phase(Phase::Repairing { name: "a.pdf".to_owned(), good, wanted: 3 });
        let mut repairs = Repairs::default();
        let told = [1, 1, 1, 2, 2, 1].map(|good| repairs.is_news(&phase(good)));
        assert_eq!(told, [true, false, false, true, false, true]);
        assert!(in_vain(Duration::from_secs(60)).starts_with("the others were not made within 60 s"));
    }
}
