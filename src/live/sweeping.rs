//! What transfers left that broke off goes when nobody has gone on with it for long; also while a peer runs for months.

use super::config::Folders;
use super::hands::{Hands, block, turn};
use super::reading::FETCHED;
use crate::store::{self, Store, Upload};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How long chunks of a file that was not received completely are kept. Guess: who was interrupted asks again in a week.
const PARTIALS_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// From one sweep to the next. Guess: often enough for what is kept for a day.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// Sweeps for ever.
pub async fn keep_on(hands: Arc<Hands>) {
    loop {
        sleep(SWEEP_EVERY).await;
        let _turn = turn(&hands.at_files).await;
        let sweeping = hands.clone();
        block(move || sweep(&sweeping.folders, &sweeping.store)).await;
    }
}

/// Sweeps once.
pub fn sweep(folders: &Folders, store: &Store) {
    store.sweep_partials(Upload::PARTIALS_AGE);
    store::sweep(&folders.work, ".received_", PARTIALS_AGE);
    store::sweep(&folders.passing(), &format!(".{FETCHED}"), PARTIALS_AGE);
}
