//! Who joined whom, as a drawing.

use std::fmt::Write as _;

/// A node of an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// What the experiment calls it, like a port: the real ones are the system's choice.
    pub label: String,
    /// Which node it joined, by its place among them.
    pub joins: Option<usize>,
    /// What happens to it: `images written`.
    pub role: String,
}

impl Seat {
    /// A node that joins another one.
    pub fn new(label: impl Into<String>, joins: Option<usize>, role: &str) -> Seat {
        Seat { label: label.into(), joins, role: role.to_owned() }
    }
}

/// So many nodes that all join the first.
pub fn star(count: usize) -> Vec<Seat> {
    (0..count).map(|at| Seat::new((5678 + at).to_string(), (at > 0).then_some(0), "")).collect()
}

/// So many nodes, each of which joins the one before it.
pub fn chain(count: usize) -> Vec<Seat> {
    (0..count).map(|at| Seat::new((5678 + at).to_string(), at.checked_sub(1), "")).collect()
}

/// Width and height of a node, and the steps from one to the next.
const WIDTH: usize = 118;
const HEIGHT: usize = 44;
const ACROSS: usize = 142;
const DOWN: usize = 84;

/// Most nodes in a row.
const MOST_IN_A_ROW: usize = 6;

/// From so many rows on it goes to the right instead of down.
const LONG: usize = 6;

/// Drawn from top to bottom, each under the one that it joined; long chains from left to right.
pub fn draw(seats: &[Seat]) -> String {
    let mut places = places(seats);
    let sideways = places.iter().any(|(_, row)| *row >= LONG);
    if sideways {
        places.iter_mut().for_each(|place| *place = (place.1, place.0));
    }
    let columns = places.iter().map(|(column, _)| column + 1).max().unwrap_or(1);
    let rows = places.iter().map(|(_, row)| row + 1).max().unwrap_or(1);
    let (width, height) = (columns * ACROSS + 24, rows * DOWN + 12);
    let at = |seat: usize| (places[seat].0 * ACROSS + 24, places[seat].1 * DOWN + 18);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" font-family="sans-serif">
<defs><marker id="to" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="#555"/></marker></defs>
<rect width="{width}" height="{height}" fill="#fff"/>
"##
    );
    for (seat, joins) in seats.iter().enumerate().filter_map(|(at, seat)| seat.joins.map(|joins| (at, joins))) {
        let ((x, y), (to_x, to_y)) = (at(seat), at(joins));
        let (from, to) = match sideways {
            true => ((x, y + HEIGHT / 2), (to_x + WIDTH + 2, to_y + HEIGHT / 2)),
            false => ((x + WIDTH / 2, y), (to_x + WIDTH / 2, to_y + HEIGHT + 2)),
        };
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ =
            writeln!(svg, r##"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#555" marker-end="url(#to)"/>"##);
    }
    for (node, seat) in seats.iter().enumerate() {
        let ((x, y), middle) = (at(node), at(node).0 + WIDTH / 2);
        let _ = writeln!(
            svg,
            r##"<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#e8eefc" stroke="#37c"/>
<text x="{middle}" y="{}" text-anchor="middle" font-size="15">{}</text>
<text x="{middle}" y="{}" text-anchor="middle" font-size="10" fill="#333">{}</text>"##,
            y + if seat.role.is_empty() { 27 } else { 19 },
            super::page::escaped(&seat.label),
            y + 35,
            super::page::escaped(&seat.role)
        );
    }
    svg + "</svg>\n"
}

/// Column and row of each: rows are of those as far from the beginning, and broken where they grow long.
fn places(seats: &[Seat]) -> Vec<(usize, usize)> {
    let mut depths: Vec<usize> = Vec::new();
    for seat in seats {
        depths.push(seat.joins.map_or(0, |joins| depths[joins] + 1));
    }
    let mut places = vec![(0, 0); seats.len()];
    let mut row = 0;
    for depth in 0..=depths.iter().copied().max().unwrap_or(0) {
        let of_it: Vec<usize> = (0..seats.len()).filter(|seat| depths[*seat] == depth).collect();
        for line in of_it.chunks(MOST_IN_A_ROW) {
            line.iter().enumerate().for_each(|(column, seat)| places[*seat] = (column, row));
            row += 1;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_stands_below_the_one_that_it_joined() {
        assert_eq!(places(&chain(3)), [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(places(&star(3)), [(0, 0), (0, 1), (1, 1)]);
        assert!(draw(&[Seat::new("<5678>", None, "images & strings")]).contains("&lt;5678&gt;"));
    }
}
