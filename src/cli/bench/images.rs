//! Images alone, in a star of nodes.

use super::Setting;
use super::book::Book;
use super::e1::NODES;
use super::topology::star;
use super::variants::{self, NARROW_NODES, Places};
use crate::web::schema::Trouble;

/// Runs it: written at the second node, read at the last.
pub async fn run(setting: &Setting, book: &mut Book) -> Result<(), Trouble> {
    let nodes = setting.peers.unwrap_or(NODES);
    book.about.push(format!(
        "{nodes} nodes, all joined to the first. Images are written at the second and read at the last."
    ));
    let places = Places { images: Some((1, nodes - 1)), texts: None };
    variants::run(setting, places, &star(nodes), &star(nodes.max(NARROW_NODES)), book).await
}
