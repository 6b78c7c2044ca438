//! Strings alone, in a star of nodes.

use super::Setting;
use super::book::Book;
use super::e1::NODES;
use super::topology::star;
use super::variants::{self, NARROW_NODES, Places};
use crate::web::schema::Trouble;

/// Runs it: written at the last node but one, read at the last.
pub async fn run(setting: &Setting, book: &mut Book) -> Result<(), Trouble> {
    let nodes = setting.peers.unwrap_or(NODES);
    let writer = nodes - 2;
    book.about.push(format!(
        "{nodes} nodes, all joined to the first. Strings are written at the last but one and read at the last."
    ));
    let places = Places { images: None, texts: Some((writer, nodes - 1)) };
    variants::run(setting, places, &star(nodes), &star(nodes.max(NARROW_NODES)), book).await
}
