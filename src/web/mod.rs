//! A running peer's HTTP interface, over a Unix socket: what the one-shot commands talk to.
//!
//! A [`Server`] leaves a [`Plate`] in a private folder, where commands find it ([`running`]). Each route takes one wish,
//! does it at the host, and tells how it goes on as JSON lines: objects as they come, `done` or `error` at the end.
//! All of their shapes are in [`schema`].

mod answers;
mod folder;
mod looking;
mod plates;
mod routes;
pub mod schema;
mod server;
mod verdict;

pub use folder::FolderError;
pub use looking::whom;
pub use plates::{described, running};
pub use schema::Plate;
pub use server::{ServeError, Server, plate};
pub use verdict::{Verdict, absence, best, copies_of_best, counted, verdict};
