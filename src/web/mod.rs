//! A running peer's HTTP interface: what the one-shot commands talk to, and programs.
//!
//! A [`Server`] leaves a [`Plate`] in a private folder, where commands find its Unix socket ([`running`]); over TCP it
//! answers where that is wanted ([`Settings`]). Files are at `/f/{name}`. Of all else each route takes one wish, does it at
//! the host, and tells how it goes on as JSON lines: objects as they come, `done` or `error` at the end. All of their
//! shapes are in [`schema`]; the routes are described in `docs/http.md`.

mod accept;
mod answers;
mod control;
mod events;
mod fetches;
mod files;
mod folder;
mod guard;
mod log;
mod looking;
mod moving;
mod openapi;
mod patient;
mod plates;
mod ranges;
mod replies;
mod routes;
pub mod schema;
mod server;
mod taking;
mod token;
mod told;
mod verdict;
mod watching;
mod wishing;

pub use folder::FolderError;
pub use looking::whom;
pub use moving::Moving;
pub use plates::{described, running};
pub use schema::Plate;
pub use server::{Opened, ServeError, Server, Settings, plate};
pub use verdict::{Verdict, absence, best, copies_of_best, counted, verdict};
