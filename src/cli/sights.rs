//! What people read of contacts, pings and the way of a lookup: tables.

use super::tell::clean;
use crate::ground::Id;
use crate::web::counted;
use crate::web::schema::looking::{SeenReason, SeenRole};
use crate::web::schema::{Mode, Seen, Who};

/// What stands where nothing is known.
const UNKNOWN: &str = "–";

/// Everybody a peer knows, where they are on its ring or in its buckets. The peer itself is the first.
pub fn ring(seen: &[Seen]) -> Vec<String> {
    let mut rows = vec![vec!["peer".to_owned(), "address".into(), "what it is".into(), "rtt".into()]];
    for seen in seen {
        match seen {
            Seen::Contacts { me, addr, .. } => {
                rows.insert(1, vec![me.peer.clone(), addr.to_string(), "this peer".into(), UNKNOWN.into()]);
            }
            Seen::Contact { peer, addr, roles, rtt_us, .. } => {
                rows.push(vec![peer.peer.clone(), addr.to_string(), self::roles(roles), time(*rtt_us)]);
            }
            Seen::Pinged { .. } | Seen::Hop { .. } | Seen::Found { .. } => {}
        }
    }
    table(&rows, &[Side::Right, Side::Left, Side::Left, Side::Right]).into_iter().chain(sum(seen)).collect()
}

/// Everybody a peer knows, and how they are.
pub fn peers(seen: &[Seen]) -> Vec<String> {
    let mut rows = vec![vec!["peer".to_owned(), "address".into(), "rtt".into(), "heard".into(), "how it is".into()]];
    for seen in seen {
        if let Seen::Contact { peer, addr, rtt_us, heard_ms, suspect, stranger, .. } = seen {
            let how = match (suspect, heard_ms, stranger) {
                (true, ..) => "silent: it missed answers",
                (false, None, _) => "not heard yet",
                (false, Some(_), true) => "answers; takes no files",
                (false, Some(_), false) => "answers",
            };
            let heard = heard_ms.map_or(UNKNOWN.to_owned(), ago);
            rows.push(vec![peer.peer.clone(), addr.to_string(), time(*rtt_us), heard, how.to_owned()]);
        }
    }
    let sides = [Side::Right, Side::Left, Side::Right, Side::Right, Side::Left];
    table(&rows, &sides).into_iter().chain(sum(seen)).collect()
}

/// `peer 14 at 127.0.0.1:12014 answers in 0.4 ms`.
pub fn pinged(seen: &[Seen]) -> Vec<String> {
    let line = |seen: &Seen| match seen {
        Seen::Pinged { peer, addr, rtt_us, attempts } => {
            let again = if *attempts > 1 { format!(", asked {attempts} times") } else { String::new() };
            Some(format!("peer {} at {addr} answers in {}{again}", peer.peer, time(Some(*rtt_us))))
        }
        Seen::Contact { .. } | Seen::Contacts { .. } | Seen::Hop { .. } | Seen::Found { .. } => None,
    };
    seen.iter().filter_map(line).collect()
}

/// The way to who keeps a file. Nothing, as long as its end is not known.
pub fn way(seen: &[Seen]) -> Vec<String> {
    let end = seen.iter().find(|seen| matches!(seen, Seen::Found { .. }));
    let Some(Seen::Found { name, place, from, mode, computed, owner, owns_from, holders, met, .. }) = end else {
        return Vec::new();
    };
    let mut rows = vec![["hop", "peer", "why", "left", "rtt", "total"].map(str::to_owned).to_vec()];
    let start = distance(left(*mode, from, place));
    let start_total = if *computed { UNKNOWN.to_owned() } else { time(Some(0)) };
    rows.push(vec!["0".into(), from.peer.clone(), "asked here".into(), start, UNKNOWN.into(), start_total]);
    let mut last = (UNKNOWN.to_owned(), UNKNOWN.to_owned());
    for seen in seen {
        let Seen::Hop { hop, peer, by, why, left, rtt_us, total_us, .. } = seen else { continue };
        let silent = if rtt_us.is_none() && !computed { "; does not answer" } else { "" };
        let (rtt, total) = (time(*rtt_us), time(*total_us));
        if peer == owner && *mode == Mode::Ring {
            // Told as the end.
            last = (rtt, total);
            continue;
        }
        let why = format!("{}{silent}", reason(why, by, peer));
        rows.push(vec![hop.to_string(), peer.peer.clone(), why, distance(Id::new(left.0)), rtt, total]);
    }
    let has = if holders.contains(owner) { "has the file" } else { "does not have the file" };
    let owns = match owns_from {
        Some(first) if first.peer == owner.peer => format!("owns {}, {has}", owner.peer),
        Some(first) => format!("owns {}…{}, {has}", first.peer, owner.peer),
        None => format!("is the nearest, {has}"),
    };
    rows.push(vec!["=".into(), owner.peer.clone(), owns, UNKNOWN.into(), last.0, last.1]);
    let sides = [Side::Right, Side::Right, Side::Left, Side::Right, Side::Right, Side::Right];
    let size = if place.id().number().is_some() && *mode == Mode::Ring { " 0…255" } else { "" };
    let title = format!("{name} → place {}, {}{size} {}", place.peer, geometry(*mode), these(met));
    let note =
        computed.then(|| format!("computed from the peers met: nobody was asked along this {} way", geometry(*mode)));
    let others: Vec<&str> =
        holders.iter().filter(|holder| *holder != owner).map(|holder| holder.peer.as_str()).collect();
    let copies = (!others.is_empty()).then(|| format!("copies on {}", others.join(", ")));
    [title].into_iter().chain(note).chain(table(&rows, &sides)).chain(copies).map(|line| clean(&line)).collect()
}

/// Most peers that a title names. Guess: a line.
const MOST_NAMED: usize = 20;

fn these(met: &[Who]) -> String {
    if met.len() > MOST_NAMED {
        return format!("({} met)", counted(met.len(), "peer"));
    }
    let names: Vec<&str> = met.iter().map(|who| who.peer.as_str()).collect();
    format!("(peers {})", names.join(" "))
}

fn geometry(mode: Mode) -> &'static str {
    match mode {
        Mode::Ring => "ring",
        Mode::Kademlia => "kademlia",
    }
}

fn left(mode: Mode, from: &Who, place: &Who) -> Id {
    match mode {
        Mode::Ring => from.id().clockwise_to(place.id()),
        Mode::Kademlia => from.id().xor(place.id()),
    }
}

/// A short one as its number, another one as the power of two below it.
fn distance(left: Id) -> String {
    match left.number() {
        Some(number) => number.to_string(),
        None => format!("2^{}", Id::BITS - 1 - left.leading_zeros()),
    }
}

fn reason(why: &SeenReason, by: &Who, to: &Who) -> String {
    match why {
        SeenReason::Successor => format!("successor of {}", by.peer),
        SeenReason::Finger { index, target } => {
            let step = match by.id().clockwise_to(target.id()).number() {
                Some(number) => format!("{}+{number}", by.peer),
                None => format!("{}+2^{}", by.peer, index - 1),
            };
            format!("finger {index} of {}   ({step} = {} → {})", by.peer, target.peer, to.peer)
        }
        SeenReason::Bucket { index } => {
            format!("k-bucket {index} of {}   (first {} shared)", by.peer, counted(*index, "bit"))
        }
        SeenReason::Named => format!("named by {}", by.peer),
    }
}

fn roles(roles: &[SeenRole]) -> String {
    let role = |role: &SeenRole| match role {
        SeenRole::Successor(at) => format!("successor {at}"),
        SeenRole::Predecessor => "predecessor".to_owned(),
        SeenRole::Finger(index) => format!("finger {index}"),
        SeenRole::Bucket(index) => format!("bucket {index}"),
    };
    let roles: Vec<String> = roles.iter().map(role).collect();
    if roles.is_empty() { "contact".to_owned() } else { roles.join(", ") }
}

fn sum(seen: &[Seen]) -> Option<String> {
    seen.iter().find_map(|seen| match seen {
        Seen::Contacts { contacts, everybody, .. } => {
            let all = if *everybody { ": everybody there is" } else { "" };
            Some(format!("{}{all}", counted(*contacts, "contact")))
        }
        Seen::Contact { .. } | Seen::Pinged { .. } | Seen::Hop { .. } | Seen::Found { .. } => None,
    })
}

/// `0.4 ms`.
fn time(micros: Option<u64>) -> String {
    micros.map_or(UNKNOWN.to_owned(), |micros| format!("{:.1} ms", micros as f64 / 1000.0))
}

/// `12 s ago`.
fn ago(millis: u64) -> String {
    match millis / 1000 {
        seconds @ ..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
}

/// On which side of its column a text stands.
#[derive(Clone, Copy)]
pub enum Side {
    Left,
    Right,
}

/// Rows of equally many cells, in columns.
pub fn table(rows: &[Vec<String>], sides: &[Side]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..sides.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cell = |(text, (side, width)): (&String, (&Side, &usize))| match side {
            Side::Left => format!("{text:<width$}"),
            Side::Right => format!("{text:>width$}"),
        };
        let cells: Vec<String> = row.iter().zip(sides.iter().zip(&widths)).map(cell).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Naming;
    use crate::web::schema::Hex;

    fn who(number: u8) -> Who {
        Who::new(Naming::Numbered, Id::numbered(number))
    }

    fn hop(hop: usize, peer: u8, by: u8, why: SeenReason, left: u8, micros: [u64; 2]) -> Seen {
        Seen::Hop {
            hop,
            peer: who(peer),
            addr: "127.0.0.1:1".parse().unwrap(),
            by: who(by),
            why,
            left: Hex(*Id::numbered(left).as_bytes()),
            nearer: 0,
            rtt_us: (micros[0] > 0).then_some(micros[0]),
            total_us: (micros[1] > 0).then_some(micros[1]),
        }
    }

    fn found(computed: bool, holders: &[u8]) -> Seen {
        Seen::Found {
            name: "report.pdf".into(),
            place: who(12),
            from: who(2),
            mode: Mode::Ring,
            computed,
            owner: who(14),
            owns_from: Some(who(10)),
            holders: holders.iter().map(|number| who(*number)).collect(),
            met: [2, 4, 5, 8, 9, 14, 15, 19].map(who).to_vec(),
            asked: 8,
        }
    }

    #[test]
    fn a_way_is_told_hop_by_hop() {
        let finger = SeenReason::Finger { index: 3, target: who(6) };
        let seen = [
            hop(1, 8, 2, finger, 4, [400, 400]),
            hop(2, 9, 8, SeenReason::Successor, 3, [500, 900]),
            hop(3, 14, 9, SeenReason::Successor, 254, [400, 1300]),
            found(false, &[14, 15, 19]),
        ];
        assert_eq!(
            way(&seen),
            [
                "report.pdf → place 12, ring 0…255 (peers 2 4 5 8 9 14 15 19)",
                "hop  peer  why                            left     rtt   total",
                "  0     2  asked here                       10       –  0.0 ms",
                "  1     8  finger 3 of 2   (2+4 = 6 → 8)     4  0.4 ms  0.4 ms",
                "  2     9  successor of 8                    3  0.5 ms  0.9 ms",
                "  =    14  owns 10…14, has the file          –  0.4 ms  1.3 ms",
                "copies on 15, 19",
            ]
        );
    }

    #[test]
    fn what_nobody_was_asked_is_said_to_be_computed() {
        let lines = way(&[hop(1, 8, 2, SeenReason::Named, 4, [0, 0]), found(true, &[])]);
        assert!(lines[1].starts_with("computed from the peers met: nobody was asked"), "{lines:?}");
        assert!(lines[4].contains("named by 2  ") && lines[4].ends_with("4    –      –"), "{lines:?}");
        assert!(lines[5].contains("does not have the file"), "{lines:?}");
        let lines = way(&[hop(1, 8, 2, SeenReason::Named, 4, [0, 0]), found(false, &[])]);
        assert!(lines[3].contains("named by 2; does not answer"), "{lines:?}");
    }

    #[test]
    fn times_are_told_in_units_that_fit() {
        assert_eq!([None, Some(0), Some(449)].map(time), ["–", "0.0 ms", "0.4 ms"]);
        assert_eq!([0, 119_999, 120_000, 7_200_000].map(ago), ["0 s ago", "119 s ago", "2 min ago", "2 h ago"]);
    }
}
