//! `p2p store`: what is sealed is sealed here, before anybody sees it.

use super::link::Link;
use super::passing::Passing;
use super::{absolute, distinct, failed, keys, many, name_of, show};
use crate::cli::args::client::{Asking, Store};
use crate::ground::FileName;
use crate::store::seal::{SealKey, seal};
use crate::store::source;
use crate::web::schema::{Code, Object, Outcome, StoreWish, Trouble};
use rustix::fs::statvfs;
use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What sealing adds, at most: a header of 99 bytes and 16 bytes for each 64 KiB begun.
fn sealed_bytes(len_bytes: u64) -> u64 {
    len_bytes + len_bytes.div_ceil(1 << 16).max(1) * 16 + 99
}

/// Stores files, or standard input.
pub fn store(store: &Store, link: impl Fn(&Asking) -> Result<Link, Trouble>) -> Result<Outcome, Trouble> {
    store.name.as_deref().map(name_of).transpose()?;
    let mut files = Vec::new();
    for path in &store.files {
        // All are looked at before the first is stored.
        Given::open(path)?;
        files.push((path, name_in_network(store, path)?));
    }
    distinct(files.iter().map(|(_, name)| name))?;
    let key = sealing_key(store)?;
    let link = link(&store.asking)?;
    many::each(
        &files,
        link.json,
        |(_, name)| name.as_str(),
        |(path, name)| store_one(store, path, name, key.as_ref(), &link),
    )
}

fn store_one(
    store: &Store,
    path: &Path,
    name: &FileName,
    key: Option<&SealKey>,
    link: &Link,
) -> Result<Outcome, Trouble> {
    let hidden = key.filter(|_| store.hide_name).map(|key| key.hidden_name(name));
    let wire_name = hidden.transpose().map_err(keys::trouble)?.unwrap_or_else(|| name.clone());
    let (path, _passing) = Given::open(path)?.into_path(key, &wire_name)?;
    let path = path.to_str().ok_or_else(|| {
        Trouble::new(Code::Refused, "the file's path is no text: rename it, or store it from standard input")
    })?;
    let wish = StoreWish { path: path.to_owned(), name: wire_name.to_string(), ttl_s: store.ttl };
    link.post("/v1/store", &wish, |line| {
        link.show(&line, |object| match object {
            Object::Stored { file, place, holders, wanted } => {
                vec![show::stored(&file.name, file, place, holders, *wanted)]
            }
            _ => Vec::new(),
        });
    })
}

/// What shall be stored.
enum Given {
    /// A file, that can be read.
    File { path: PathBuf, file: File, len_bytes: u64 },
    /// Standard input.
    Input,
}

impl Given {
    fn open(path: &Path) -> Result<Given, Trouble> {
        if path == Path::new("-") {
            return Ok(Given::Input);
        }
        let (file, len_bytes) = source::open(path).map_err(failed)?;
        Ok(Given::File { path: absolute(path)?, file, len_bytes })
    }

    /// Where the peer finds the bytes that are to leave this process: sealed, if there is a key. What is returned beside
    /// it is kept until they are stored.
    fn into_path(self, key: Option<&SealKey>, name: &FileName) -> Result<(PathBuf, Option<Passing>), Trouble> {
        let len_bytes = match &self {
            Given::File { path, .. } if key.is_none() => return Ok((path.clone(), None)),
            Given::File { len_bytes, .. } => *len_bytes,
            Given::Input => 0,
        };
        let folder = env::temp_dir();
        check_space(&folder, sealed_bytes(len_bytes))?;
        let unmade = |error: io::Error| failed(format!("cannot write in {}: {error}", folder.display()));
        let passing = Passing::within(&folder).map_err(unmade)?;
        let path = passing.file(name.as_str());
        let sink = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(unmade)?;
        let mut sink = BufWriter::new(sink);
        match (self, key) {
            (Given::File { mut file, .. }, Some(key)) => _ = seal(&mut file, &mut sink, key).map_err(keys::trouble)?,
            (Given::Input, Some(key)) => _ = seal(&mut io::stdin().lock(), &mut sink, key).map_err(keys::trouble)?,
            (Given::Input, None) => _ = io::copy(&mut io::stdin().lock(), &mut sink).map_err(unmade)?,
            (Given::File { .. }, None) => unreachable!("it has left above"),
        }
        sink.flush().map_err(unmade)?;
        Ok((path, Some(passing)))
    }
}

fn name_in_network(store: &Store, path: &Path) -> Result<FileName, Trouble> {
    match (&store.name, path.file_name()) {
        (Some(name), _) => name_of(name),
        (None, Some(last)) => name_of(&last.to_string_lossy()),
        (None, None) => Err(Trouble::new(Code::Usage, "this path has no name at its end: say one with --name")),
    }
}

fn sealing_key(store: &Store) -> Result<Option<SealKey>, Trouble> {
    if !store.encrypt {
        return Ok(None);
    }
    match keys::given(&store.key)? {
        Some(key) => Ok(Some(key)),
        None => keys::asked(true).map(Some),
    }
}

/// Fails where a folder has less room than this.
pub fn check_space(folder: &Path, len_bytes: u64) -> Result<(), Trouble> {
    // Where the system does not say it, writing will.
    let Ok(about) = statvfs(folder) else { return Ok(()) };
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    if free < len_bytes {
        let message = format!("{} has {free} bytes left, and {len_bytes} are needed", folder.display());
        return Err(failed(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_that_sealing_takes_is_known_before() {
        let key = SealKey::generate_key_file(&tempfile::tempdir().unwrap().path().join("key")).unwrap();
        for len in [0, 1, 65_536, 65_537, 300_000] {
            let mut sealed = Vec::new();
            seal(&mut &vec![7; len][..], &mut sealed, &key).unwrap();
            assert_eq!(sealed_bytes(len as u64), sealed.len() as u64, "{len}");
        }
    }

    #[test]
    fn a_full_disk_is_noticed_before() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_space(dir.path(), 1).is_ok());
        assert!(check_space(dir.path(), u64::MAX).is_err());
    }
}
