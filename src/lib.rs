//! A group of machines keeps files without any server.

#![warn(missing_docs)]

pub mod ground;
pub mod peer;
#[cfg(feature = "node")]
pub mod store;
#[cfg(feature = "node")]
pub mod transfer;
