//! What the copies of a file amount to, and why there is none.

use crate::ground::{Copy, Health, Id, Manifest};
use crate::peer::Absence;

/// What an inspection found, as far as it can be summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As many good copies as there should be.
    Good,
    /// Fewer, but none of them damaged.
    Few,
    /// Some are damaged.
    Damaged,
    /// There is none, or the file is removed.
    None,
}

/// The version that answers a request, of all that were found.
pub fn best(holders: &[(Id, Vec<Copy>)]) -> Option<&Manifest> {
    holders.iter().flat_map(|(_, copies)| copies).map(|copy| &copy.manifest).max_by_key(|manifest| manifest.rank())
}

/// The copies of the version that answers, with who holds them.
pub fn copies_of_best(holders: &[(Id, Vec<Copy>)]) -> Vec<(Id, &Copy)> {
    let Some(best) = best(holders) else { return Vec::new() };
    let same = |(holder, copies): &'_ (Id, Vec<Copy>)| {
        let at = copies.iter().position(|copy| copy.manifest.rank() == best.rank())?;
        Some((*holder, at))
    };
    holders.iter().filter_map(|held| same(held).map(|(holder, at)| (holder, &held.1[at]))).collect()
}

/// How many copies of the version that answers are good.
pub fn good(holders: &[(Id, Vec<Copy>)]) -> usize {
    copies_of_best(holders).iter().filter(|(_, copy)| !is_damaged(copy)).count()
}

/// Whether the version that answers is kept as it should be.
pub fn verdict(holders: &[(Id, Vec<Copy>)], wanted: usize) -> Verdict {
    let copies = copies_of_best(holders);
    match best(holders) {
        None => Verdict::None,
        Some(best) if best.content.is_removed() => Verdict::None,
        Some(_) if copies.iter().any(|(_, copy)| is_damaged(copy)) => Verdict::Damaged,
        Some(_) if copies.len() < wanted => Verdict::Few,
        Some(_) => Verdict::Good,
    }
}

fn is_damaged(copy: &Copy) -> bool {
    matches!(copy.health, Health::Damaged { .. })
}

/// Why a file is not there; completes "File 4103 …".
pub fn absence(absence: Absence, asked: usize) -> String {
    let asked = counted(asked, "peer");
    match absence {
        Absence::NeverStored => format!("was not found ({asked} asked): nobody has heard of it"),
        Absence::Removed => format!("was not found ({asked} asked): it was removed"),
        Absence::HoldersGone => {
            format!("was not found ({asked} asked): it was stored, but all who held it are gone, or its time is over")
        }
        Absence::NoSuchVersion { latest } => {
            format!("was not found ({asked} asked): there is no such version of it; the latest is {latest}")
        }
        Absence::Damaged => format!("was not found ({asked} asked): it is held, but damaged: check it with --repair"),
        Absence::OutOfReach { silent } => {
            let who = counted(silent, "peer");
            format!("was not found ({asked} asked): {who} that may hold it cannot be reached; try again later")
        }
    }
}

/// `1 file`, `8 files`.
pub fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::{Content, FileName};

    fn held(holder: u8, content: u8, health: Health) -> (Id, Vec<Copy>) {
        let content =
            if content == 0 { Content::REMOVED } else { Content { hash: [content; 32], len_bytes: 2_000_000 } };
        let name = FileName::parse("a.pdf").unwrap();
        let manifest = Manifest::after(None, name, content, Id::numbered(4));
        (Id::numbered(holder), vec![Copy { manifest, health }])
    }

    #[test]
    fn damage_weighs_more_than_lack() {
        let damaged = Health::Damaged { bad: 1, chunks: 31 };
        let holders = [held(14, 7, Health::Verified), held(15, 7, damaged)];
        assert_eq!((verdict(&holders, 2), good(&holders)), (Verdict::Damaged, 1));
        assert_eq!(verdict(&holders, 3), Verdict::Damaged);
        assert_eq!(verdict(&holders[..1], 1), Verdict::Good);
        assert_eq!(verdict(&holders[..1], 2), Verdict::Few);
        assert_eq!(verdict(&[held(14, 0, Health::Verified)], 1), Verdict::None);
        assert_eq!(verdict(&[], 1), Verdict::None);
    }

    #[test]
    fn copies_of_other_versions_do_not_count() {
        let holders = [held(14, 8, Health::Here), held(15, 7, Health::Here)];
        assert_eq!(copies_of_best(&holders).len(), 1);
        assert_eq!(verdict(&holders, 2), Verdict::Few);
    }
}
