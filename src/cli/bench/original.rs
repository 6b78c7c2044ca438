//! What was published for the three experiments, and ours beside it.
//!
//! The source is a course project on PyPI's `kademlia`, on another machine; the yardstick of `--python` is that library here.

use super::book::{Book, Shown};

/// What was published, in milliseconds; and the file in which ours is.
pub type Figures = &'static [(&'static str, &'static str, f64)];

/// Experiment 1.
pub const FIRST: Figures = &[
    ("write an image", "img_write.csv", 223.0),
    ("read an image", "img_read.csv", 2.11),
    ("write a string", "str_write.csv", 1.47),
    ("read a string", "str_read.csv", 0.03),
];

/// Experiment 2.
pub const SECOND: Figures = &[
    ("write an image", "img_write.csv", 245.5),
    ("read an image", "img_read.csv", 2.04),
    ("write a string", "str_write.csv", 1.65),
    ("read a string", "str_read.csv", 0.25),
];

/// Experiment 3.
pub const THIRD: Figures = &[
    ("write an image", "img_write.csv", 147.37),
    ("read an image after joining late", "img_read_1.csv", 746.4),
    ("read an image after 5679 left", "img_read_4_after_5679_left.csv", 40.2),
    ("write a string", "str_write.csv", 1.03),
    ("read a string after joining late", "str_read_1.csv", 0.23),
    ("read a string after 5679 left", "str_read_4_after_5679_left.csv", 0.30),
];

/// Adds the comparison of what has been measured so far.
pub fn compare(figures: Figures, book: &mut Book) {
    let mean = |folder: &str, file: &str| book.part(folder).and_then(|part| part.mean(file));
    let millis = |time: Option<f64>| time.map_or("–".to_owned(), |time| format!("{time:.2}"));
    let times = |other: Option<f64>, ours: Option<f64>| match (other, ours) {
        (Some(other), Some(ours)) if ours > 0.0 => format!("{:.2}", other / ours),
        _ => "–".to_owned(),
    };
    let headed = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<String>>();
    let python = book.part("python").is_some();
    let mut header = headed(&["means in ms", "original", "ours", "original / ours"]);
    if python {
        header.extend(headed(&["Python here", "Python / ours"]));
    }
    let row = |(what, file, published): &(&str, &str, f64)| {
        let ours = mean("", file);
        let mut row = vec![(*what).to_owned(), format!("{published}"), millis(ours), times(Some(*published), ours)];
        if python {
            row.extend([millis(mean("python", file)), times(mean("python", file), ours)]);
        }
        row
    };
    let title = if figures == THIRD {
        "As the original did it: 6000 joins late, and keeps nothing at first"
    } else {
        "As the original did it: who reads is a keeper itself, so nothing need cross the network"
    };
    let held = Shown { title: title.to_owned(), header, rows: figures.iter().map(row).collect() };
    let crossing = book.part("network").map(|_| {
        let mut header = headed(&["means in ms", "ours"]);
        if python {
            header.extend(headed(&["Python here", "Python / ours"]));
        }
        let row = |(what, file, _): &(&str, &str, f64)| {
            let ours = mean("network", file);
            let mut row = vec![(*what).to_owned(), millis(ours)];
            if python {
                let theirs = mean("python-network", file);
                row.extend([millis(theirs), times(theirs, ours)]);
            }
            row
        };
        let title = "Three copies in a larger network, where reads cross it (the original has no such figures)";
        Shown { title: title.to_owned(), header, rows: figures.iter().map(row).collect() }
    });
    book.shown.push(held);
    book.shown.extend(crossing);
}

#[cfg(test)]
mod tests {
    use super::super::book::TEXT_READ;
    use super::*;

    #[test]
    fn what_was_measured_stands_beside_what_was_published_with_their_ratio() {
        let mut book = Book::default();
        book.open("", "p2p", "ours").table("str_read.csv", "reads", TEXT_READ.1).push("lorem_0", [26.0, 0.0125]);
        book.open("python", "Python", "theirs")
            .table("str_read.csv", "reads", TEXT_READ.1)
            .push("lorem_0", [26.0, 0.03]);
        compare(FIRST, &mut book);
        let [shown] = &book.shown[..] else { panic!("no part crosses the network: {:?}", book.shown) };
        assert_eq!(shown.rows[3], ["read a string", "0.03", "0.01", "2.40", "0.03", "2.40"]);
        assert_eq!(shown.rows[0], ["write an image", "223", "–", "–", "–", "–"], "nothing of it was measured");
    }
}
