//! Experiment 1: five nodes, the last four joined to the first.

use super::Setting;
use super::book::Book;
use super::original;
use super::topology::star;
use super::variants::{self, NARROW_NODES, Places};
use crate::web::schema::Trouble;

/// How many nodes: 5678 to 5682.
pub const NODES: usize = 5;

/// Runs it.
pub async fn run(setting: &Setting, book: &mut Book) -> Result<(), Trouble> {
    book.about.push(
        "Five nodes, called 5678 to 5682 as in the original (their real ports are the system's choice); the last four joined \
         the first. Images are written at 5679 and read at 5682, strings are written at 5681 and read at 5680."
            .to_owned(),
    );
    let mut seats = star(NODES);
    for (node, role) in [(1, "images written"), (2, "strings read"), (3, "strings written"), (4, "images read")] {
        seats[node].role = role.to_owned();
    }
    let places = Places { images: Some((1, 4)), texts: Some((3, 2)) };
    let outcome = variants::run(setting, places, &seats, &star(NARROW_NODES), book).await;
    original::compare(original::FIRST, book);
    outcome
}
