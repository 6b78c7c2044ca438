//! Callers: whoever connects says in one frame what they want, and gets a thread only then.

use super::carry::{SILENCE, blocking};
use super::hands::{Hands, Happening};
use crate::ground::{Content, FileName, Id, Manifest};
use crate::peer::{Input, News};
use crate::transfer::frame::{self, BadFrame, LEN_PREFIX};
use crate::transfer::{self, Opening};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Most connections that are open at once; who comes beyond that finds the door closed.
const CALLERS: usize = 128;

/// How long to wait where no connection can be taken: the process has no file handles left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves callers for ever.
pub async fn keep(listener: TcpListener, hands: Arc<Hands>) {
    let room = Arc::new(Semaphore::new(CALLERS));
    let mut callers = JoinSet::new();
    loop {
        tokio::select! {
            caller = listener.accept() => match (caller, room.clone().try_acquire_owned()) {
                (Ok((stream, _)), Ok(place)) => {
                    let hands = hands.clone();
                    callers.spawn(async move {
                        serve(stream, hands).await;
                        drop(place);
                    });
                }
                (Ok(_), Err(_)) => {}
                (Err(_), _) => sleep(PAUSE).await,
            },
            Some(_) = callers.join_next() => {}
        }
    }
}

/// Nothing is told of callers that say nothing, nonsense, or break off: they are normal.
async fn serve(mut stream: TcpStream, hands: Arc<Hands>) {
    let Ok(opening) = timeout(SILENCE, read_opening(&mut stream)).await else { return };
    let Ok(mut stream) = blocking(stream) else { return };
    let work = move |hands: &Hands| match opening {
        Ok(Opening::Put { .. }) if hands.is_closed() => {
            let _ = transfer::refuse(&mut stream, "it is leaving");
        }
        Ok(Opening::Put { manifest, .. }) => take(&mut stream, hands, manifest),
        Ok(Opening::Get { name, content, offset, from }) => give(&mut stream, hands, name, content, offset, from),
        Err(error @ (BadFrame::Version(_) | BadFrame::Unknown)) => {
            let _ = transfer::refuse(&mut stream, &error.to_string());
        }
        Err(BadFrame::Io(_) | BadFrame::TooLong(_) | BadFrame::Malformed) => {}
    };
    hands.serve(work).await;
}

fn take(stream: &mut std::net::TcpStream, hands: &Hands, manifest: Manifest) {
    if transfer::serve_put(stream, &manifest, &hands.store).is_ok() {
        hands.say(Happening::Input(Input::Received { manifest, left: None }));
    }
}

fn give(
    stream: &mut std::net::TcpStream,
    hands: &Hands,
    name: FileName,
    content: Option<Content>,
    offset: u64,
    to: Id,
) {
    let served = hands.served(&name, content);
    if served.is_some() {
        hands.say(Happening::News(News::Sending { name, to }));
    }
    if transfer::serve_get(stream, served, offset).is_ok() {
        hands.say(Happening::News(News::Sent));
    }
}

async fn read_opening(stream: &mut TcpStream) -> Result<Opening, BadFrame> {
    let mut prefix = [0; LEN_PREFIX];
    stream.read_exact(&mut prefix).await?;
    let mut payload = vec![0; frame::payload_len(&prefix)?];
    stream.read_exact(&mut payload).await?;
    Opening::decode(&payload)
}
