//! The compact forms of addresses, contacts and files.

use crate::ground::bencode::Value;
use crate::ground::{Contact, Content, Holding, Id, Manifest};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most files named in one question or answer: 800 bytes.
pub const MAX_FILES: usize = 8;

/// Length of a [`Holding`]: key 20 · version 8 · length 8 · BLAKE3 32 · link 32.
pub const FILE_LEN: usize = 100;

pub fn is_set(dict: &Value, key: &str) -> bool {
    dict.get(key).and_then(Value::int) == Some(1)
}

pub fn id_in(dict: &Value, key: &str) -> Option<Id> {
    dict.get(key).and_then(Value::bytes).and_then(Id::from_slice)
}

/// The fixed number of bytes under a key.
pub fn array_in<const LEN: usize>(dict: &Value, key: &str) -> Option<[u8; LEN]> {
    dict.get(key).and_then(Value::bytes)?.try_into().ok()
}

/// At most [`MAX_FILES`] of these, 100 bytes each.
pub fn compact_files(files: &[Holding]) -> Vec<u8> {
    let one = |file: &Holding| {
        let mut bytes = file.key.as_bytes().to_vec();
        bytes.extend(file.version.to_be_bytes());
        bytes.extend(file.content.len_bytes.to_be_bytes());
        bytes.extend(file.content.hash);
        bytes.extend(file.link);
        bytes
    };
    files.iter().take(MAX_FILES).flat_map(one).collect()
}

pub fn files_in(dict: &Value, key: &str) -> Vec<Holding> {
    files_from(dict.get(key).and_then(Value::bytes).unwrap_or_default())
}

/// Reads what [`compact_files`] wrote; leaves out what cannot be.
pub fn files_from(bytes: &[u8]) -> Vec<Holding> {
    let one = |bytes: &[u8]| {
        let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes of 100"));
        Holding {
            key: Id::from_slice(&bytes[..20]).expect("20 bytes of 100"),
            version: number(20),
            content: Content { len_bytes: number(28), hash: bytes[36..68].try_into().expect("32 bytes of 100") },
            link: bytes[68..].try_into().expect("32 bytes of 100"),
        }
    };
    let sane = |holding: &Holding| holding.version <= Manifest::MAX_VERSION;
    bytes.chunks_exact(FILE_LEN).take(MAX_FILES).map(one).filter(sane).collect()
}

/// An address and port: 6 bytes, or 18 for IPv6.
pub fn compact(addr: SocketAddr, out: &mut Vec<u8>) {
    match addr.ip() {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
    out.extend(addr.port().to_be_bytes());
}

/// How many bytes [`compact`] writes.
pub fn compact_len(addr: SocketAddr) -> usize {
    if addr.is_ipv4() { 6 } else { 18 }
}

/// The address in 6 or 18 bytes; none where nobody can answer (port 0).
pub fn addr_in(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_at_checked(bytes.len().checked_sub(2)?)?;
    let ip: IpAddr = match ip.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?).into(),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
        _ => return None,
    };
    let port = u16::from_be_bytes(port.try_into().ok()?);
    (port != 0).then_some(SocketAddr::new(ip, port))
}

pub fn compact_contact(contact: &Contact, out: &mut Vec<u8>) {
    out.extend(contact.id.as_bytes());
    compact(contact.addr, out);
}

/// The contact in 26 or 38 bytes; none where nobody can answer (port 0).
pub fn contact_in(bytes: &[u8]) -> Option<Contact> {
    let (id, addr) = bytes.split_at_checked(Id::LEN)?;
    Some(Contact { id: Id::from_slice(id)?, addr: addr_in(addr)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_at_port_0_are_nobody() {
        let mut bytes = Vec::new();
        compact_contact(&Contact { id: Id::ZERO, addr: "127.0.0.1:12008".parse().unwrap() }, &mut bytes);
        assert!(contact_in(&bytes).is_some());
        bytes[24..].fill(0);
        assert_eq!(contact_in(&bytes), None);
    }

    #[test]
    fn addresses_of_odd_lengths_are_none() {
        assert!((0..40).filter(|len| ![6, 18].contains(len)).all(|len| addr_in(&vec![1; len]).is_none()));
    }
}
