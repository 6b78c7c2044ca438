//! Experiment 2: a chain, everything far from the first node.

use super::Setting;
use super::book::Book;
use super::e1::NODES;
use super::original;
use super::topology::chain;
use super::variants::{self, NARROW_NODES, Places};
use crate::web::schema::Trouble;

/// Runs it.
pub async fn run(setting: &Setting, book: &mut Book) -> Result<(), Trouble> {
    book.about.push(
        "A chain 5678 ← 5679 ← 5680 ← 5681 ← 5682: each node joined the one before it. The original's steps are not legible; \
         here everything is written at the last node, 5682, and read at 5681, the next farthest from the first."
            .to_owned(),
    );
    let mut seats = chain(NODES);
    seats[4].role = "all written".to_owned();
    seats[3].role = "all read".to_owned();
    let places = Places { images: Some((4, 3)), texts: Some((4, 3)) };
    let outcome = variants::run(setting, places, &seats, &chain(NARROW_NODES), book).await;
    original::compare(original::SECOND, book);
    outcome
}
