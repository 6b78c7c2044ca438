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
        if peer == owner {
            last = (rtt.clone(), total.clone());
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
    let title = format!("{name} → place {}, {} {}", place.peer, geometry(*mode), these(met));
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
            let step = match Id::power_of_two(index - 1).number() {
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
enum Side {
    Left,
    Right,
}

/// Rows of equally many cells, in columns.
fn table(rows: &[Vec<String>], sides: &[Side]) -> Vec<String> {
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
