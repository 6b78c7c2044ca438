//! What a peer notes for its next run: contacts, values, publications, and what its tokens are made with.
//!
//! ```text
//! i + target     a value kept here        d k salt seq sig v, and left: seconds of life; ours 1 if it was promised
//! p + target     a value published here   the same
//! t              secrets of tokens        16 bytes
//! c              contacts                 26 or 38 bytes each, with 4 bytes of round trip in microseconds
//! ```

use super::tokens::Tokens;
use super::values::Kept;
use super::*;
use crate::ground::bencode::{self, Value, Writer};
use crate::ground::{Item, Signed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Contacts are noted so often. Guess: a table changes slowly.
const NOTE_CONTACTS_EVERY: Duration = Duration::from_secs(60);
/// And for the first time so soon after the start.
const NOTE_CONTACTS_FIRST: Duration = Duration::from_secs(5);
/// Most contacts noted. Guess: more than enough to find one that still lives.
const MAX_CONTACTS: usize = 64;

const VALUE: u8 = b'i';
const PUBLICATION: u8 = b'p';
const TOKENS: &[u8] = b"t";
const CONTACTS: &[u8] = b"c";

/// When what is noted next.
pub(super) struct Notes {
    pub contacts_at: Moment,
    noted: Vec<Id>,
}

impl Notes {
    pub fn new(now: Moment) -> Notes {
        Notes { contacts_at: now + NOTE_CONTACTS_FIRST, noted: Vec::new() }
    }
}

/// The contacts among what was noted, with their round trips.
pub(super) fn contacts_in(memory: &[Memory]) -> Vec<(Contact, Duration)> {
    let noted = memory.iter().find(|noted| noted.key == CONTACTS);
    let mut rest = noted.map_or(&[][..], |noted| &noted.value);
    let mut contacts = Vec::new();
    while let Some((contact, round_trip, more)) = contact_in(rest) {
        contacts.push((contact, round_trip));
        rest = more;
    }
    contacts
}

impl Peer {
    /// Takes up what an earlier run noted.
    pub(super) fn remember(&mut self, now: Moment, memory: &[Memory]) {
        for Memory { key, value, age } in memory {
            match key.split_first() {
                _ if key == TOKENS => {
                    if let Some(tokens) = Tokens::restored(now, value) {
                        self.keeping.tokens = tokens;
                    }
                }
                Some((kind @ (&VALUE | &PUBLICATION), target)) => {
                    let Some(target) = Id::from_slice(target) else { continue };
                    let Some(kept) = self.kept_in(now, value, *age) else {
                        // It ended while nobody was here to note that.
                        self.note(*kind, target, None);
                        continue;
                    };
                    let values = if *kind == VALUE { &mut self.keeping.values } else { &mut self.keeping.publications };
                    values.restore(target, kept);
                }
                _ => {}
            }
        }
        for (contact, round_trip) in contacts_in(memory) {
            self.rpc.expect(contact.addr, round_trip);
        }
        self.note_tokens();
    }

    fn kept_in(&mut self, now: Moment, bytes: &[u8], age: Duration) -> Option<Kept> {
        let dict = bencode::decode(bytes).ok()?;
        let array = |key| dict.get(key).and_then(Value::bytes);
        let value = array("v")?.to_vec();
        let item = match (array("k"), array("sig")) {
            (Some(key), Some(signature)) => Item::Mutable(Signed {
                key: key.try_into().ok()?,
                salt: array("salt").unwrap_or_default().to_vec(),
                seq: dict.get("seq").and_then(Value::int)?,
                value,
                signature: signature.try_into().ok()?,
            }),
            _ => Item::Immutable(value),
        };
        item.verify().ok()?;
        let left = Duration::from_secs(dict.get("left").and_then(Value::count)?).checked_sub(age)?;
        let promised = dict.get("ours").and_then(Value::int) == Some(1);
        // It is due for publication at any moment of the next hour: many may have been started together.
        let turn = super::values::REPUBLISH_EVERY.mul_f64(self.chance.fraction());
        let republish_at = if promised { now + turn } else { Moment::NEVER };
        Some(Kept { item, expires: now + left, republish_at })
    }

    pub(super) fn note_value(&mut self, now: Moment, target: Id) {
        let bytes = self.keeping.values.get(now, target).map(|kept| bytes_of(now, kept));
        self.note(VALUE, target, bytes);
    }

    pub(super) fn note_publication(&mut self, now: Moment, target: Id) {
        let bytes = self.keeping.publications.get(now, target).map(|kept| bytes_of(now, kept));
        self.note(PUBLICATION, target, bytes);
    }

    pub(super) fn forget_value(&mut self, target: Id) {
        self.note(VALUE, target, None);
    }

    pub(super) fn forget_publication(&mut self, target: Id) {
        self.note(PUBLICATION, target, None);
    }

    pub(super) fn note_tokens(&mut self) {
        let value = Some(self.keeping.tokens.secrets());
        self.out.push_back(Output::Note { key: TOKENS.to_vec(), value });
    }

    /// Notes who is known, from time to time.
    pub(super) fn note_contacts(&mut self, now: Moment) {
        if now < self.notes.contacts_at {
            return;
        }
        self.notes.contacts_at = now + self.chance.around(NOTE_CONTACTS_EVERY);
        let contacts: Vec<Contact> = self.overlay.contacts().into_iter().take(MAX_CONTACTS).collect();
        let ids: Vec<Id> = contacts.iter().map(|contact| contact.id).collect();
        // Who is alone now may have been cut off: the last known contacts are better than none.
        if contacts.is_empty() || ids == self.notes.noted {
            return;
        }
        self.notes.noted = ids;
        let mut value = Vec::new();
        for contact in contacts {
            let round_trip = self.rpc.expected(contact.addr).unwrap_or_default();
            value.push(if contact.addr.is_ipv4() { 4 } else { 6 });
            value.extend(contact.id.as_bytes());
            match contact.addr.ip() {
                IpAddr::V4(ip) => value.extend(ip.octets()),
                IpAddr::V6(ip) => value.extend(ip.octets()),
            }
            value.extend(contact.addr.port().to_be_bytes());
            value.extend(u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX).to_be_bytes());
        }
        self.out.push_back(Output::Note { key: CONTACTS.to_vec(), value: Some(value) });
    }

    fn note(&mut self, kind: u8, target: Id, value: Option<Vec<u8>>) {
        let key = [&[kind][..], target.as_bytes()].concat();
        self.out.push_back(Output::Note { key, value });
    }
}

fn bytes_of(now: Moment, kept: &Kept) -> Vec<u8> {
    Writer::dict(|d| {
        let signed = if let Item::Mutable(signed) = &kept.item { Some(signed) } else { None };
        if let Some(signed) = signed {
            d.bytes("k", &signed.key);
        }
        d.count("left", kept.expires.since(now).as_secs());
        if kept.republish_at != Moment::NEVER {
            d.count("ours", 1);
        }
        if let Some(signed) = signed {
            d.bytes("salt", &signed.salt);
            d.int("seq", signed.seq);
            d.bytes("sig", &signed.signature);
        }
        d.bytes("v", kept.item.value());
    })
}

fn contact_in(bytes: &[u8]) -> Option<(Contact, Duration, &[u8])> {
    let (family, rest) = bytes.split_first()?;
    let (id, rest) = rest.split_at_checked(Id::LEN)?;
    let (ip, rest): (IpAddr, _) = match family {
        4 => rest.split_first_chunk::<4>().map(|(ip, rest)| (Ipv4Addr::from(*ip).into(), rest))?,
        6 => rest.split_first_chunk::<16>().map(|(ip, rest)| (Ipv6Addr::from(*ip).into(), rest))?,
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (round_trip, rest) = rest.split_first_chunk::<4>()?;
    let contact = Contact { id: Id::from_slice(id)?, addr: SocketAddr::new(ip, u16::from_be_bytes(*port)) };
    Some((contact, Duration::from_micros(u32::from_be_bytes(*round_trip).into()), rest))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outputs, peer};
    use super::*;
    use crate::ground::item::text_value;

    #[test]
    fn what_ended_meanwhile_is_forgotten() {
        let item = Item::Immutable(text_value(b"value"));
        let target = item.target();
        let hour = Duration::from_secs(3600);
        let kept = Kept { item, expires: Moment::START + hour, republish_at: Moment::NEVER };
        let key = [&[VALUE][..], target.as_bytes()].concat();
        for (age, forgotten) in [(hour / 2, false), (hour * 2, true)] {
            let memory = vec![Memory { key: key.clone(), value: bytes_of(Moment::START, &kept), age }];
            let mut peer = peer("127.0.0.1:12001", Start::Ring(Vec::new()), memory);
            assert_eq!(peer.keeping.values.get(Moment::START, target).is_none(), forgotten);
            let is_end = |output: &Output| matches!(output, Output::Note { key: at, value: None } if *at == key);
            assert_eq!(outputs(&mut peer).iter().any(is_end), forgotten, "{age:?}");
        }
    }
}
