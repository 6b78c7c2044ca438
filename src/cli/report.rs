//! What people read about files: who holds them and how they are, their histories, lists, and why one is not there.

use super::tell::{peers, size};
use crate::ground::{Copy, Health, Id, Manifest, Naming};
use crate::web::copies_of_best;
pub use crate::web::{absence, counted};

/// What is said where copies lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// How to make more.
    Advised,
    /// That this was just asked for.
    Repaired,
    /// Nothing more: it was waited for.
    Awaited,
}

/// How each copy of the version that answers is, and how many are good.
pub fn check(naming: Naming, name: &str, holders: &[(Id, Vec<Copy>)], wanted: usize, lacking: Lacking) -> Vec<String> {
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
    let advice = match lacking {
        Lacking::Advised if good < wanted => format!("; to make more: check {name} --repair"),
        Lacking::Repaired if good < wanted => "; the others are being made".to_owned(),
        Lacking::Advised | Lacking::Repaired | Lacking::Awaited => String::new(),
    };
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
            check(Naming::Numbered, "a.pdf", &holders, 3, Lacking::Advised),
            [
                "Peer 14  version 1  complete, verified",
                "Peer 15  version 1  damaged: 1 of 31 chunks wrong",
                "1 of 3 copies good; to make more: check a.pdf --repair"
            ]
        );
        let last = |lacking| check(Naming::Numbered, "a.pdf", &holders, 3, lacking).pop().unwrap();
        assert_eq!(last(Lacking::Repaired), "1 of 3 copies good; the others are being made");
        assert_eq!(last(Lacking::Awaited), "1 of 3 copies good");
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
