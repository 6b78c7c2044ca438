//! The files by which running peers are found. Those of peers that are gone are removed by whoever sees them.

use super::folder::{self, FolderError};
use super::schema::{Mode, Plate};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// The longest path of a socket, in bytes: 108 on Linux and 104 elsewhere, a zero at its end included.
const MAX_SOCKET_PATH_BYTES: usize = 103;

/// The longest plate read. Guess: ten times what one has.
const MAX_PLATE_BYTES: u64 = 16 << 10;

/// The ending of plates.
const ENDING: &str = "json";

/// All peers that run on this machine and are ours, in the order of their names.
pub async fn running() -> Result<Vec<Plate>, FolderError> {
    let folder = folder::private()?;
    let mut found = Vec::new();
    for path in plates_in(&folder) {
        match read(&path) {
            Some(plate) if is_alive(&plate.socket).await => found.push(plate),
            Some(plate) => {
                // Only what we would have made: a plate is a file that anybody's program may have written.
                let _ = fs::remove_file(token_path(&folder, plate.pid));
                remove(&path, &plate.socket);
            }
            // Perhaps a later program's.
            None => {}
        }
    }
    found.sort_by_key(|plate| (plate.name.len(), plate.name.clone(), plate.addrs.clone()));
    Ok(found)
}

/// `peer 4  ring  127.0.0.1:12004  process 1234`.
pub fn described(plate: &Plate) -> String {
    let addrs: Vec<String> = plate.addrs.iter().map(SocketAddr::to_string).collect();
    let mode = match plate.mode {
        Mode::Ring => "ring",
        Mode::Kademlia => "kademlia",
    };
    format!("peer {}  {mode}  {}  process {}", plate.name, addrs.join(" "), plate.pid)
}

/// A socket of a path that fits, with nobody else's permission.
pub fn bind(pid: u32) -> Result<(UnixListener, PathBuf), super::ServeError> {
    let entry = format!("{pid}.sock");
    let usual = folder::private()?.join(&entry);
    let path = if usual.as_os_str().len() <= MAX_SOCKET_PATH_BYTES { usual } else { folder::short()?.join(&entry) };
    let failed = |error| super::ServeError::Socket { path: path.clone(), error };
    // The number was another process's, which is gone.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok((listener, path))
}

/// Leaves a plate. Returns where.
pub fn leave(plate: &Plate) -> Result<PathBuf, super::ServeError> {
    let path = folder::private()?.join(format!("{}.{ENDING}", plate.pid));
    // Nobody is to read half of it.
    let passing = path.with_extension("new");
    let text = serde_json::to_string(plate).expect("it is text and numbers alone");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&passing)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&passing, &path)
    };
    write().map_err(|error: io::Error| super::ServeError::Socket { path: path.clone(), error })?;
    Ok(path)
}

/// Where a peer's token lies, for who may change something over TCP.
pub fn token_path(folder: &Path, pid: u32) -> PathBuf {
    folder.join(format!("{pid}.token"))
}

/// Removes a plate and its socket.
pub fn remove(path: &Path, socket: &Path) {
    // What is gone already need not go.
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(socket);
}

fn plates_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == ENDING)).collect()
}

fn read(path: &Path) -> Option<Plate> {
    let short = fs::metadata(path).is_ok_and(|about| about.len() <= MAX_PLATE_BYTES);
    short.then(|| fs::read(path).ok()).flatten().and_then(|text| serde_json::from_slice(&text).ok())
}

/// Whether somebody listens: who is stopped or busy does, too.
async fn is_alive(socket: &Path) -> bool {
    match UnixStream::connect(socket).await {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
    }
}
