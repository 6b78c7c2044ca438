//! A peer of ours, asked over its socket as the one-shot commands ask.
//!
//! An image is a stored file. Cut as the original's (`--chunked`), it is a value `NAME`, the number of chunks, and files
//! `NAME_i` of at most 8000 bytes, because a value of BEP 44 has at most 1000. A string that is longer than a value is cut:
//! `KEY` holds how many parts follow, a line end and the first part; `KEY_i` the others.

use super::cluster::{Got, Thing, Written};
use super::failed;
use super::material::{Image, Text};
use super::process::{Process, drain, wait_for};
use crate::cli::client::Wire;
use crate::web::Plate;
use crate::web::schema::{GetWish, Object, QuitWish, RequestWish, SetWish, StoreWish, Trouble};
use hyper::Method;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The original's limit of a value.
pub const CHUNK_BYTES: usize = 8000;

/// What fits a value beside its bencoding and the number of parts.
const PART_BYTES: usize = 980;

/// How long a peer may take until it has joined. Guess: an idle machine needs a fiftieth.
const START_WAITS: Duration = Duration::from_secs(30);

/// How often is looked whether a peer can be asked.
const START_LOOKS: Duration = Duration::from_millis(2);

/// How larger things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Images in chunks of [`CHUNK_BYTES`].
    pub chunked: bool,
    /// How many parts are on their way at once, each over a connection of its own.
    pub in_flight: usize,
}

/// A running peer.
pub struct Ours {
    /// Its process.
    pub process: Process,
    /// What it says of itself.
    pub plate: Plate,
    /// Its folder.
    pub folder: PathBuf,
    wires: Vec<Wire>,
    kept: Kept,
}

/// A route and what is wished there, written before the clock runs.
type Posted = (&'static str, Vec<u8>);

impl Ours {
    /// Starts one. It can be asked, and has joined if it joins somebody.
    pub async fn start(root: &Path, at: usize, words: &[String], joins: bool, kept: Kept) -> Result<Ours, Trouble> {
        let folder = root.join(format!("peer{at}"));
        fs::create_dir_all(&folder).map_err(failed)?;
        let log = folder.join("log");
        let program = env::current_exe().map_err(|error| failed(format!("this program has no path: {error}")))?;
        let mut command = Command::new(program);
        command.args(words).arg("--dir").arg(&folder).current_dir(&folder).stdin(Stdio::null());
        command.stderr(File::create(&log).map_err(failed)?);
        env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"P2P_")).for_each(|(name, _)| {
            command.env_remove(name);
        });
        // Peers of ours are no choice for the commands of whoever sits here.
        command.env("XDG_RUNTIME_DIR", root);
        let (process, lines) = Process::start(&mut command)?;
        let mut peer_process = process;
        let plate = timeout(START_WAITS, async {
            match joins {
                true => wait_for(lines, "Join request has been accepted").await?,
                false => drain(lines),
            }
            plate(root, &mut peer_process).await
        });
        let said = || fs::read_to_string(&log).unwrap_or_default().lines().next_back().unwrap_or_default().to_owned();
        let plate = match plate.await {
            Ok(Ok(plate)) => plate,
            Ok(Err(trouble)) => return Err(Trouble { cause: vec![said()], ..trouble }),
            Err(_) => return Err(failed(format!("a peer has not joined within {START_WAITS:?}: {}", said()))),
        };
        let wires = (0..kept.in_flight.max(1)).map(|_| Wire::new(plate.clone())).collect();
        Ok(Ours { process: peer_process, plate, folder, wires, kept })
    }

    /// Has something kept.
    pub async fn write(&mut self, thing: Thing<'_>) -> Result<Written, Trouble> {
        let (wishes, chunks, bytes) = match thing {
            Thing::Text(text) => text_wishes(text),
            Thing::Image(image) if self.kept.chunked => self.chunk_wishes(image)?,
            Thing::Image(image) => (vec![store_wish(&image.path, &image.name)?], 1, image.len_bytes),
        };
        let begun = Instant::now();
        let replies = self.ask_all(wishes).await?;
        let took = begun.elapsed();
        // The number of an image's chunks is no part of it.
        let parts = &replies[usize::from(replies.len() > chunks)..];
        let holders = parts.iter().flatten().flat_map(|object| match object {
            Object::Stored { holders, .. } | Object::ValueSet { holders, .. } => holders.clone(),
            _ => Vec::new(),
        });
        Ok(Written { took, chunks, bytes, holders: holders.map(|who| who.id.to_string()).collect() })
    }

    /// Reads it, and compares.
    pub async fn read(&mut self, thing: Thing<'_>) -> Result<Got, Trouble> {
        match thing {
            Thing::Text(text) => self.read_text(text).await,
            Thing::Image(image) if self.kept.chunked => self.read_chunks(image).await,
            Thing::Image(image) => self.read_file(image).await,
        }
    }

    /// Lets it hand over and say goodbye, and waits until it is gone.
    pub async fn leave(&mut self) -> Result<(), Trouble> {
        self.wires[0].ask(Method::POST, "/v1/quit", json(&QuitWish::default()), |_| ()).await?;
        while self.process.lives() {
            sleep(START_LOOKS).await;
        }
        Ok(())
    }

    async fn read_text(&mut self, text: &Text) -> Result<Got, Trouble> {
        let begun = Instant::now();
        let first = self.value(&text.key).await?;
        let (count, first) = first.split_once('\n').ok_or_else(|| failed(format!("{} is none of ours", text.key)))?;
        let count: usize = count.parse().map_err(failed)?;
        let rest = (1..=count).map(|part| get_wish(&format!("{}_{part}", text.key))).collect();
        let rest = self.ask_all(rest).await?;
        let took = begun.elapsed();
        let whole: String = std::iter::once(first).chain(rest.iter().filter_map(|reply| value_in(reply))).collect();
        Ok(Got { took, chunks: count + 1, right: whole == text.value, own: false })
    }

    async fn read_file(&mut self, image: &Image) -> Result<Got, Trouble> {
        let path = self.folder.join("got");
        let wish = request_wish(&path, &image.name)?;
        let begun = Instant::now();
        let replies = self.ask_all(vec![wish]).await?;
        let took = begun.elapsed();
        let right = fs::read(&path).map_err(failed)? == fs::read(&image.path).map_err(failed)?;
        fs::remove_file(&path).map_err(failed)?;
        let own = |object: &Object| matches!(object, Object::Fetched { from, .. } if from.id == self.plate.id);
        Ok(Got { took, chunks: 1, right, own: replies.iter().flatten().any(own) })
    }

    async fn read_chunks(&mut self, image: &Image) -> Result<Got, Trouble> {
        let paths = |folder: &Path, part: usize| folder.join(format!("got_{part}"));
        let begun = Instant::now();
        let count: usize = self.value(&image.name).await?.parse().map_err(failed)?;
        let wish = |part| request_wish(&paths(&self.folder, part), &format!("{}_{part}", image.name));
        let wishes = (1..=count).map(wish).collect::<Result<Vec<Posted>, Trouble>>()?;
        self.ask_all(wishes).await?;
        let took = begun.elapsed();
        let mut whole = Vec::with_capacity(image.len_bytes);
        for part in 1..=count {
            whole.extend(fs::read(paths(&self.folder, part)).map_err(failed)?);
            fs::remove_file(paths(&self.folder, part)).map_err(failed)?;
        }
        let right = whole == fs::read(&image.path).map_err(failed)?;
        Ok(Got { took, chunks: count, right, own: false })
    }

    async fn value(&mut self, key: &str) -> Result<String, Trouble> {
        let replies = self.ask_all(vec![get_wish(key)]).await?;
        let found = replies.first().and_then(|reply| value_in(reply)).map(str::to_owned);
        found.ok_or_else(|| failed(format!("the value {key} is no text")))
    }

    /// An image in chunks: the files that are stored, beside the number of them.
    fn chunk_wishes(&self, image: &Image) -> Result<(Vec<Posted>, usize, usize), Trouble> {
        let bytes = fs::read(&image.path).map_err(failed)?;
        let count = bytes.len().div_ceil(CHUNK_BYTES);
        let mut wishes = vec![set_wish(&image.name, &count.to_string())];
        for (at, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
            let name = format!("{}_{}", image.name, at + 1);
            let path = self.folder.join(&name);
            fs::write(&path, chunk).map_err(failed)?;
            wishes.push(store_wish(&path, &name)?);
        }
        Ok((wishes, count, bytes.len() + count.to_string().len()))
    }

    /// Asks for all of it, as many at once as there are connections; the replies in the order of the wishes.
    async fn ask_all(&mut self, wishes: Vec<Posted>) -> Result<Vec<Vec<Object>>, Trouble> {
        if let [(route, body)] = &wishes[..] {
            return Ok(vec![ask(&mut self.wires[0], route, body.clone()).await?]);
        }
        let (next, wishes) = (Arc::new(AtomicUsize::new(0)), Arc::new(wishes));
        let mut lanes = JoinSet::new();
        for mut wire in self.wires.drain(..) {
            let (next, wishes) = (next.clone(), wishes.clone());
            lanes.spawn(async move {
                let (mut replies, mut ended) = (Vec::new(), Ok(()));
                while let Some((at, (route, body))) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| wishes.get(at).map(|wish| (at, wish)))
                {
                    match ask(&mut wire, route, body.clone()).await {
                        Ok(objects) => replies.push((at, objects)),
                        Err(trouble) => {
                            ended = Err(trouble);
                            break;
                        }
                    }
                }
                (wire, replies, ended)
            });
        }
        let (mut replies, mut outcome) = (Vec::new(), Ok(()));
        for (wire, some, ended) in lanes.join_all().await {
            self.wires.push(wire);
            replies.extend(some);
            outcome = outcome.and(ended);
        }
        outcome?;
        replies.sort_by_key(|(at, _)| *at);
        Ok(replies.into_iter().map(|(_, objects)| objects).collect())
    }
}

async fn ask(wire: &mut Wire, route: &str, body: Vec<u8>) -> Result<Vec<Object>, Trouble> {
    let mut objects = Vec::new();
    wire.ask(Method::POST, route, body, |line| objects.extend(line.object.cloned())).await?;
    Ok(objects)
}

/// What a peer that has just started leaves for commands.
async fn plate(root: &Path, process: &mut Process) -> Result<Plate, Trouble> {
    let path = root.join("p2p").join(format!("{}.json", process.id()));
    loop {
        if let Some(plate) = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            return Ok(plate);
        }
        if !process.lives() {
            return Err(failed("a peer ended as soon as it was started"));
        }
        sleep(START_LOOKS).await;
    }
}

/// A string in values, how many they are, and their bytes.
fn text_wishes(text: &Text) -> (Vec<Posted>, usize, usize) {
    let parts = parts(&text.value, PART_BYTES);
    let first = format!("{}\n{}", parts.len() - 1, parts[0]);
    let bytes = first.len() + text.value.len() - parts[0].len();
    let rest = parts.iter().enumerate().skip(1).map(|(at, part)| set_wish(&format!("{}_{at}", text.key), part));
    (std::iter::once(set_wish(&text.key, &first)).chain(rest).collect(), parts.len(), bytes)
}

/// Text in parts of so many bytes at most, none of them ending within a letter; one if it is empty.
fn parts(text: &str, most: usize) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while rest.len() > most {
        let (part, after) = rest.split_at(rest.floor_char_boundary(most));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

fn value_in(reply: &[Object]) -> Option<&str> {
    reply.iter().find_map(|object| match object {
        Object::Value { value, .. } => value.as_deref(),
        _ => None,
    })
}

fn set_wish(key: &str, value: &str) -> Posted {
    ("/v1/set", json(&SetWish { key: key.to_owned(), value: value.to_owned() }))
}

fn get_wish(key: &str) -> Posted {
    ("/v1/get", json(&GetWish { key: key.to_owned() }))
}

/// For a file that is stored under a name.
pub fn store_wish(path: &Path, name: &str) -> Result<Posted, Trouble> {
    Ok(("/v1/store", json(&StoreWish { path: as_text(path)?, name: name.to_owned(), ttl_s: None })))
}

/// For a file that is fetched to a path.
pub fn request_wish(path: &Path, name: &str) -> Result<Posted, Trouble> {
    Ok(("/v1/request", json(&RequestWish { name: name.to_owned(), version: None, path: as_text(path)? })))
}

fn as_text(path: &Path) -> Result<String, Trouble> {
    path.to_str().map(str::to_owned).ok_or_else(|| failed(format!("{} is no text", path.display())))
}

fn json(wish: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(wish).expect("wishes are text and numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_to_the_text_and_fit_a_value() {
        for text in ["", "short", &"é".repeat(1500), &"lorem ipsum ".repeat(300)] {
            let parts = parts(text, PART_BYTES);
            assert!(parts.concat() == text && parts.iter().all(|part| part.len() <= PART_BYTES));
            assert_eq!(parts.len(), text.len().div_ceil(PART_BYTES).max(1), "{}", text.len());
        }
    }
}
