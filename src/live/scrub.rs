//! The scrub of a running peer's store: a task that reads slowly, and says what was damaged.

use super::hands::{Hands, Happening, block, turn};
use crate::peer::Input;
use crate::store::scrub::{Pace, Scrub};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How long to wait when the disk does not let us drop what is damaged. Guess: it is full, or dying.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Scrubs for ever.
pub async fn keep_on(hands: Arc<Hands>, pace: Pace) {
    let mut scrub = None;
    loop {
        // Only while a step lasts: it is not worth a thread of its own, and files that people wait for come first.
        let _turn = turn(&hands.at_files).await;
        let store = hands.store.clone();
        let begun = scrub.take();
        let stepped = block(move || {
            let mut scrub = begun.map_or_else(|| Scrub::new(store, pace), Ok)?;
            scrub.step().map(|step| (scrub, step))
        });
        let stepped = stepped.await;
        drop(_turn);
        match stepped {
            Ok((going_on, step)) => {
                scrub = Some(going_on);
                for manifest in step.damaged {
                    hands.happen(Happening::Input(Input::Damaged(manifest))).await;
                }
                sleep(step.pause).await;
            }
            // Begins again where its bookmark is.
            Err(_) => sleep(AFTER_FAILURE).await,
        }
    }
}
