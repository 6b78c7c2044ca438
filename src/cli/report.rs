//! What people read about files: who holds them and how they are, their histories, lists, and why one is not there.

use super::tell::{counted, peers, size};
use crate::ground::{Copy, Health, Id, Manifest, Naming};
use crate::peer::Absence;
use std::collections::BTreeMap;

/// What an inspection found, as far as it can be summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As many good copies as there should be.
    Good,
    /// Fewer, but none of them damaged.
    Few,
    /// Some are damaged.
    Damaged,
    /// There is none.
    None,
}

/// The version that answers a request, of all that were found.
pub fn best(holders: &[(Id, Vec<Copy>)]) -> Option<&Manifest> {
    holders.iter().flat_map(|(_, copies)| copies).map(|copy| &copy.manifest).max_by_key(|manifest| manifest.rank())
}

/// Whether the version that answers is kept as it should be.
pub fn verdict(holders: &[(Id, Vec<Copy>)], wanted: usize) -> Verdict {
    let copies = copies_of_best(holders);
    let damaged = |(_, copy): &&(Id, &Copy)| matches!(copy.health, Health::Damaged { .. });
    match (best(holders), copies.iter().any(|copy| damaged(&copy)), copies.len() < wanted) {
        (None, _, _) => Verdict::None,
        (Some(best), _, _) if best.content.is_removed() => Verdict::None,
        (Some(_), true, _) => Verdict::Damaged,
        (Some(_), false, true) => Verdict::Few,
        (Some(_), false, false) => Verdict::Good,
    }
}

fn copies_of_best(holders: &[(Id, Vec<Copy>)]) -> Vec<(Id, &Copy)> {
    let Some(best) = best(holders) else { return Vec::new() };
    let same = |(holder, copies): &'_ (Id, Vec<Copy>)| {
        let copy = copies.iter().position(|copy| copy.manifest.rank() == best.rank())?;
        Some((*holder, copy))
    };
    let found: Vec<(Id, usize)> = holders.iter().filter_map(same).collect();
    let all: BTreeMap<Id, &Vec<Copy>> = holders.iter().map(|(holder, copies)| (*holder, copies)).collect();
    found.into_iter().map(|(holder, at)| (holder, &all[&holder][at])).collect()
}

/// How each copy of the version that answers is, and how many are good.
pub fn check(naming: Naming, name: &str, holders: &[(Id, Vec<Copy>)], wanted: usize) -> Vec<String> {
    let copies = copies_of_best(holders);
    let mut lines: Vec<String> = Vec::new();
    for (holder, copy) in &copies {
        let health = match copy.health {
            Health::Here => "complete".to_owned(),
            Health::Verified => "complete, verified".to_owned(),
            Health::Damaged { bad, chunks } => format!("damaged: {bad} of {} wrong", counted(chunks as usize, "chunk")),
        };
        lines.push(format!("Peer {}  version {}  {health}", naming.call(*holder), copy.manifest.version));
    }
    let good = copies.iter().filter(|(_, copy)| !matches!(copy.health, Health::Damaged { .. })).count();
    let wanted = wanted.max(copies.len());
    let advice = if good < wanted { format!("; to make more: check {name} --repair") } else { String::new() };
    lines.push(format!(
        "{good} of {} good{advice}",
        if wanted == 1 { "1 copy".into() } else { format!("{wanted} copies") }
    ));
    lines
}

/// All versions, the latest first, who keeps them, and whether each follows the one before it.
pub fn history(naming: Naming, holders: &[(Id, Vec<Copy>)]) -> Vec<String> {
    let mut versions: Vec<(&Manifest, Vec<Id>)> = Vec::new();
    for (holder, manifest) in holders.iter().flat_map(|(holder, all)| all.iter().map(|copy| (*holder, &copy.manifest)))
    {
        match versions.iter_mut().find(|(known, _)| known.rank() == manifest.rank()) {
            Some((_, kept_by)) => kept_by.push(holder),
            None => versions.push((manifest, vec![holder])),
        }
    }
    versions.sort_by_key(|(manifest, _)| std::cmp::Reverse(manifest.rank()));
    let line = |(at, (manifest, kept_by)): (usize, &(&Manifest, Vec<Id>))| {
        let what = match manifest.content.is_removed() {
            true => "removed".to_owned(),
            false => format!("{}  blake3 {}", size(manifest.content.len_bytes), hex(&manifest.content.hash)),
        };
        let earlier: Vec<&Manifest> = versions[at + 1..].iter().map(|(manifest, _)| *manifest).collect();
        let (by, kept_by) = (naming.call(manifest.stored_by), peers(naming, kept_by));
        format!("version {}  {what}  by Peer {by}  at {kept_by}  {}", manifest.version, descent(manifest, &earlier))
    };
    versions.iter().enumerate().map(line).collect()
}

fn descent(manifest: &Manifest, earlier: &[&Manifest]) -> String {
    match manifest.previous {
        None => "the first".to_owned(),
        Some(previous) => match earlier.iter().find(|other| other.link() == previous) {
            Some(before) => format!("follows version {}: proven", before.version),
            None => "follows one that is not kept any more".to_owned(),
        },
    }
}

/// The files of the network.
pub fn list(naming: Naming, files: &[(Manifest, Vec<Id>)], asked: usize, silent: usize) -> Vec<String> {
    let widest = files.iter().map(|(manifest, _)| manifest.name.as_str().chars().count()).max().unwrap_or(0).min(60);
    let line = |(manifest, holders): &(Manifest, Vec<Id>)| {
        let (name, size) = (manifest.name.as_str(), size(manifest.content.len_bytes));
        format!("{name:widest$}  {size:>9}  version {}  at {}", manifest.version, peers(naming, holders))
    };
    let mut lines: Vec<String> = files.iter().map(line).collect();
    let silence = if silent > 0 { format!(", {silent} did not answer") } else { String::new() };
    lines.push(format!("{} ({} asked{silence})", counted(files.len(), "file"), counted(asked, "peer")));
    lines
}

/// Why a file is not there; completes "File 4103 …".
pub fn absence(absence: Absence, asked: usize) -> String {
    let asked = counted(asked, "peer");
    match absence {
        Absence::NeverStored => format!("was not found ({asked} asked): nobody has heard of it"),
        Absence::Removed => format!("was not found ({asked} asked): it was removed"),
        Absence::HoldersGone => format!("was not found ({asked} asked): it was stored, but all who held it are gone"),
        Absence::Damaged => format!("was not found ({asked} asked): it is held, but damaged: check it with --repair"),
        Absence::OutOfReach { silent } => {
            let who = counted(silent, "peer");
            format!("was not found ({asked} asked): {who} that may hold it cannot be reached; try again later")
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::{Content, FileName};

    fn id(number: u8) -> Id {
        Id::numbered(number)
    }

    fn copy(after: Option<&Manifest>, content: u8, health: Health) -> Copy {
        let content =
            if content == 0 { Content::REMOVED } else { Content { hash: [content; 32], len_bytes: 2_000_000 } };
        let name = FileName::parse("a.pdf").unwrap();
        let holding = after.map(Manifest::holding);
        Copy { manifest: Manifest::after(holding.as_ref(), name, content, id(4)), health }
    }

    #[test]
    fn a_check_says_how_each_copy_is() {
        let damaged = Health::Damaged { bad: 1, chunks: 31 };
        let holders = [(id(14), vec![copy(None, 7, Health::Verified)]), (id(15), vec![copy(None, 7, damaged)])];
        assert_eq!(
            check(Naming::Numbered, "a.pdf", &holders, 3),
            [
                "Peer 14  version 1  complete, verified",
                "Peer 15  version 1  damaged: 1 of 31 chunks wrong",
                "1 of 3 copies good; to make more: check a.pdf --repair"
            ]
        );
        assert_eq!(verdict(&holders, 2), Verdict::Damaged);
        assert_eq!(verdict(&holders[..1], 1), Verdict::Good);
        assert_eq!(verdict(&holders[..1], 2), Verdict::Few);
        assert_eq!(verdict(&[(id(14), vec![copy(None, 0, Health::Verified)])], 1), Verdict::None);
    }

    #[test]
    fn a_history_proves_that_each_version_follows_the_one_before() {
        let first = copy(None, 7, Health::Here);
        let second = copy(Some(&first.manifest), 8, Health::Here);
        let third = copy(Some(&second.manifest), 0, Health::Here);
        let holders = [(id(14), vec![third.clone(), second]), (id(15), vec![third])];
        let lines = history(Naming::Numbered, &holders);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "version 3  removed  by Peer 4  at Peers 14 and 15  follows version 2: proven");
        assert!(lines[1].starts_with("version 2  2.0 MB  blake3 0808"), "{}", lines[1]);
        assert!(lines[1].ends_with("at Peer 14  follows one that is not kept any more"), "{}", lines[1]);
    }
}
