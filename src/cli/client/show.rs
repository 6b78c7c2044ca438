//! What people read of a reply: results on standard output, all else on standard error.

use super::{bars, say};
use crate::cli::speech;
use crate::cli::tell::{clean, size};
use crate::ground::{Copy, Id, Manifest};
use crate::web::schema::{FileVersion, Object, Phase, Trouble, Who};
use crate::web::{self, Plate, counted};

/// What goes on. Progress is for who watches; what went wrong is for everybody.
pub fn phase(phase: &Phase) {
    match phase {
        Phase::HolderFailed { name, holder, reason } => {
            aside(&format!("{name} from peer {}: {reason}; the next peer is asked", holder.peer));
        }
        Phase::Repairing { name, good, wanted } => {
            aside(&format!("{name}: {good} of {} good, waiting for the others", copies(*wanted)));
        }
        Phase::NotTaken { files } => {
            aside(&format!("nobody takes {} that nobody else has: its folder keeps them", counted(*files, "file")));
        }
        Phase::Searching { .. }
        | Phase::Asking { .. }
        | Phase::Sending { .. }
        | Phase::Receiving { .. }
        | Phase::Leaving => {}
    }
}

/// `stored report.pdf   place 12   peer 14 (copies on 15, 19)   3 of 3   blake3 9f2c…1d`.
pub fn stored(name: &str, file: &FileVersion, place: &Who, holders: &[Who], wanted: usize) -> String {
    let hash = file.blake3.map(|hash| hash.to_string()).unwrap_or_default();
    let hash = format!("{}…{}", hash.get(..4).unwrap_or_default(), hash.get(62..).unwrap_or_default());
    let others: Vec<&str> = holders.iter().skip(1).map(|who| who.peer.as_str()).collect();
    let others = if others.is_empty() { String::new() } else { format!(" (copies on {})", others.join(", ")) };
    let owner = holders.first().map_or("none", |who| &who.peer);
    let count = holders.len();
    format!("stored {name}   place {}   peer {owner}{others}   {count} of {wanted}   blake3 {hash}", place.peer)
}

/// `removed report.pdf   3 of 3 peers know`.
pub fn removed(file: &FileVersion, holders: &[Who], wanted: usize) -> String {
    format!("removed {}   {} of {} know", file.name, holders.len(), counted(wanted, "peer"))
}

/// `peer 4`, and what it is; where it answers HTTP.
pub fn status(plate: &Plate) -> Vec<String> {
    let http = plate.http.zip(plate.token.as_ref());
    let http = http.map(|(addr, token)| format!("http://{addr}  token in {}", token.display()));
    [web::described(plate)].into_iter().chain(http).collect()
}

/// The copies of a reply, each holder's together, in the order they were told in.
#[derive(Default)]
pub struct Holders(pub Vec<(Id, Vec<Copy>)>);

impl Holders {
    /// Takes note of a line that tells of one.
    pub fn note(&mut self, object: &Object) {
        let Object::Copy { holder, file, health } = object else { return };
        let Some(manifest) = file.manifest() else { return };
        let (id, copy) = (holder.id(), Copy { manifest, health: health.health() });
        match self.0.iter_mut().find(|(known, _)| *known == id) {
            Some((_, copies)) => copies.push(copy),
            None => self.0.push((id, vec![copy])),
        }
    }
}

/// The files of a reply.
#[derive(Default)]
pub struct Files(pub Vec<(Manifest, Vec<Id>)>);

impl Files {
    /// Takes note of a line that tells of one.
    pub fn note(&mut self, object: &Object) {
        if let Object::File { file, holders } = object
            && let Some(manifest) = file.manifest()
        {
            self.0.push((manifest, holders.iter().map(Who::id).collect()));
        }
    }
}

/// Why it could not be done, and what to do.
pub fn trouble(trouble: &Trouble) {
    aside(&trouble.message);
    trouble.cause.iter().for_each(|cause| aside(&format!("  {cause}")));
    if let Some(hint) = &trouble.hint {
        aside(hint);
    }
}

/// Results, for people.
pub fn results(lines: &[String]) {
    lines.iter().for_each(|line| say(&clean(line)));
}

/// Something beside the results.
pub fn aside(line: &str) {
    bars::close();
    speech::aside(&clean(line));
}

/// A request came to nothing, but has brought some of its file.
pub fn kept() {
    aside("what has arrived is kept: the same command goes on there");
}

/// `18.2 MB from peer 14`.
pub fn fetched(name: &str, len_bytes: u64, from: &Who) -> String {
    format!("fetched {name}   {}   from peer {}", size(len_bytes), from.peer)
}

fn copies(count: usize) -> String {
    if count == 1 { "1 copy".to_owned() } else { format!("{count} copies") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::{Content, FileName, Health, Naming};

    fn manifest(previous: Option<&Manifest>, hash: u8) -> Manifest {
        let content = Content { hash: [hash; 32], len_bytes: 3 };
        Manifest::after(previous.map(Manifest::holding).as_ref(), FileName::parse("a b").unwrap(), content, Id::ZERO)
    }

    #[test]
    fn a_store_is_told_in_one_line() {
        let who = |number| Who::new(Naming::Numbered, Id::numbered(number));
        let file = FileVersion::new(Naming::Numbered, &manifest(None, 0x9f));
        assert_eq!(
            stored("a b", &file, &who(12), &[who(14), who(15), who(19)], 3),
            "stored a b   place 12   peer 14 (copies on 15, 19)   3 of 3   blake3 9f9f…9f"
        );
        assert_eq!(
            stored("a b", &file, &who(12), &[who(14)], 2),
            "stored a b   place 12   peer 14   1 of 2   blake3 9f9f…9f"
        );
    }

    #[test]
    fn copies_come_back_as_they_were_told() {
        let first = manifest(None, 1);
        let second = manifest(Some(&first), 2);
        let mut holders = Holders::default();
        for manifest in [&second, &first] {
            holders.note(&Object::Copy {
                holder: Who::new(Naming::Numbered, Id::numbered(14)),
                file: FileVersion::new(Naming::Numbered, manifest),
                health: crate::web::schema::CopyHealth::Here,
            });
        }
        let copies = [second, first].map(|manifest| Copy { manifest, health: Health::Here });
        assert_eq!(holders.0, [(Id::numbered(14), copies.to_vec())]);
    }
}
