//! The scrub of a running peer's store: a task that reads slowly, and says what was damaged.

use super::hands::{Hands, Happening, block, turn};
use crate::peer::Input;
use crate::store::scrub::{Pace, Scrub};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How long to wait when the disk fails us otherwise. Guess: it is full, or dying.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Scrubs for ever.
pub async fn keep_on(hands: Arc<Hands>, pace: Pace) {
    let mut scrub = None;
    loop {
        // Only while a step lasts: it is not worth a thread of its own, and shares one with the files people wait for.
        let our_turn = turn(&hands.at_files).await;
        let store = hands.store.clone();
        let begun = scrub.take();
        let stepped = block(move || {
            let mut scrub = begun.map_or_else(|| Scrub::new(store, pace), Ok)?;
            scrub.step().map(|step| (scrub, step))
        });
        let stepped = stepped.await;
        drop(our_turn);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::{Content, FileName, Id, Manifest};
    use crate::live::Folders;
    use crate::store::Store;
    use crate::transfer::Limits;
    use std::fs;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    #[test]
    fn a_running_peer_hears_of_what_the_disk_has_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let folders = Folders::new(dir.path(), 12008);
        let store = Store::open(&folders.store, None).unwrap();
        let hash = blake3::hash(b"bytes");
        let content = Content { hash: *hash.as_bytes(), len_bytes: 5 };
        let manifest = Manifest::after(None, FileName::parse("4103").unwrap(), content, Id::ZERO);
        store.keep(&manifest, None, true, &mut &b"bytes"[..]).unwrap();
        let path = folders.store.join("content").join(hash.to_hex().as_str());
        fs::write(&path, "bites").unwrap();

        let (happen, mut happenings) = mpsc::channel(1);
        let hands = Arc::new(Hands::new(Id::ZERO, 0, folders, store.clone(), Limits::default(), happen));
        let pace = Pace { bytes_per_second: u64::MAX, pass_every: Duration::from_millis(10) };
        let runtime = crate::live::runtime().unwrap();
        runtime.block_on(async {
            tokio::spawn(keep_on(hands, pace));
            let happening = timeout(Duration::from_secs(20), happenings.recv()).await.unwrap();
            let Some(Happening::Input(Input::Damaged(damaged))) = happening else { panic!("something else happened") };
            assert_eq!(damaged, manifest);
        });
        assert!(!store.keeps(&manifest) && path.exists());
    }
}
