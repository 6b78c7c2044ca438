//! A group of machines keeps files without any server.

#![warn(missing_docs)]

#[cfg(feature = "node")]
pub mod cli;
pub mod ground;
#[cfg(feature = "node")]
pub mod live;
pub mod overlay;
pub mod peer;
pub mod sim;
#[cfg(feature = "node")]
pub mod store;
#[cfg(feature = "node")]
pub mod transfer;
#[cfg(feature = "node")]
pub mod web;
