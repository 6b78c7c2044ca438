//! Callers: whoever connects asks one question after the other, and has a thread only while one is answered.

use super::hands::{Hands, Happening, block, turn};
use super::lines::{SILENCE, patient};
use crate::ground::BUSY;
use crate::peer::News;
use crate::transfer::frame::{self, BadFrame, LEN_PREFIX};
use crate::transfer::{self, Get, Put, Question};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Most connections that are open at once, most of them idle; who comes beyond that finds the door closed.
const CALLERS: usize = 512;

/// How long to wait where no connection can be taken: the process has no file handles left.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a caller waits for a thread. Shorter than its own patience, so that it hears why.
const QUEUE: Duration = Duration::from_secs(8);

/// Serves callers for ever.
pub async fn keep(listener: TcpListener, hands: Arc<Hands>) {
    let room = Arc::new(Semaphore::new(CALLERS));
    let mut callers = JoinSet::new();
    loop {
        tokio::select! {
            caller = listener.accept() => match (caller, room.clone().try_acquire_owned()) {
                (Ok((stream, addr)), Ok(place)) => {
                    let hands = hands.clone();
                    callers.spawn(async move {
                        serve(stream, addr.ip(), hands).await;
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
async fn serve(mut stream: TcpStream, ip: IpAddr, hands: Arc<Hands>) {
    while let Ok(question) = timeout(SILENCE, read_question(&mut stream)).await {
        let Ok(turn) = timeout(QUEUE, turn(&hands.incoming)).await else {
            return refuse(&mut stream, BUSY).await;
        };
        let Ok(mut line) = stream.into_std() else { return };
        if line.set_nonblocking(false).and_then(|()| patient(&line)).is_err() {
            return;
        }
        let answering = hands.clone();
        let line = block(move || answer(&mut line, ip, question, &answering).then_some(line)).await;
        drop(turn);
        match line.map(|line| line.set_nonblocking(true).and_then(|()| TcpStream::from_std(line))) {
            Some(Ok(next)) => stream = next,
            Some(Err(_)) | None => return,
        }
    }
}

/// Answers one question. True: there may be another.
fn answer(line: &mut std::net::TcpStream, ip: IpAddr, question: Result<Question, BadFrame>, hands: &Hands) -> bool {
    match question {
        Ok(Question::Put(put)) if hands.is_closed() => transfer::decline_put(line, &put, "it is leaving").is_ok(),
        Ok(Question::Put(put)) => accept(line, put, hands),
        Ok(Question::Get(get)) => give(line, &get, ip, hands),
        Ok(Question::Inspect { name, verify }) => {
            let damaged = transfer::serve_inspect(line, &hands.store, &name, verify);
            damaged.map(|damaged| hands.say_damaged(damaged)).is_ok()
        }
        Ok(Question::List) => transfer::serve_list(line, &hands.answering()).is_ok(),
        // Belong to a Get, and come before it ends.
        Ok(Question::Hashes | Question::Want(_) | Question::Done) => false,
        Err(error @ (BadFrame::Version(_) | BadFrame::Unknown)) => {
            let _ = transfer::refuse(line, &error.to_string());
            false
        }
        Err(BadFrame::Io(_) | BadFrame::TooLong(_) | BadFrame::Malformed) => false,
    }
}

fn accept(line: &mut std::net::TcpStream, put: Put, hands: &Hands) -> bool {
    let taken = transfer::serve_put(line, &put, &hands.store, &hands.exchange).is_ok();
    if taken {
        hands.say_received(put.manifest, put.left);
    }
    taken
}

fn give(line: &mut std::net::TcpStream, get: &Get, ip: IpAddr, hands: &Hands) -> bool {
    let served = hands.served(&get.name, get.content);
    let found = served.is_some();
    if found {
        hands.say(Happening::News(News::Sending { name: get.name.clone(), to: get.from }));
    }
    let given = transfer::serve_get(line, get, served, &hands.exchange, ip).is_ok();
    if given {
        hands.say(Happening::News(News::Sent));
    }
    given || !found
}

async fn read_question(stream: &mut TcpStream) -> Result<Question, BadFrame> {
    let mut prefix = [0; LEN_PREFIX];
    stream.read_exact(&mut prefix).await?;
    let mut payload = vec![0; frame::payload_len(&prefix)?];
    stream.read_exact(&mut payload).await?;
    Question::decode(&payload)
}

async fn refuse(stream: &mut TcpStream, reason: &str) {
    let mut answer = Vec::new();
    if transfer::refuse(&mut answer, reason).is_ok() {
        // Whoever does not read it hears nothing: it is busy here.
        let _ = timeout(PAUSE, stream.write_all(&answer)).await;
    }
}
