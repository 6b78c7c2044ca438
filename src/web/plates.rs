//! The files by which running peers are found. Those of peers that are gone are removed by whoever sees them.

use super::folder::{self, FolderError};
use super::schema::{Mode, Plate};
use rustix::fs::OFlags;
use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
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
            Some(plate) => sweep(&folder, &path, &plate),
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
    let entry = socket_entry(pid);
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
        // Of a process that had our number and was killed. What else is there is not opened.
        match fs::remove_file(&passing) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&passing)?;
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

/// Removes our own plate and its socket.
pub fn remove(path: &Path, socket: &Path) {
    // What is gone already need not go.
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(socket);
}

/// Removes the plate of a peer that is gone, and what such a peer has left beside it. What the plate says is not believed:
/// any program may have written it.
fn sweep(folder: &Path, path: &Path, plate: &Plate) {
    // What cannot be removed is in nobody's way.
    let _ = fs::remove_file(path);
    if path.file_stem().is_none_or(|stem| *stem != *plate.pid.to_string()) {
        return;
    }
    let _ = fs::remove_file(token_path(folder, plate.pid));
    if let Some(socket) = own_socket(folder, plate)
        && fs::symlink_metadata(&socket).is_ok_and(|about| about.file_type().is_socket())
    {
        let _ = fs::remove_file(socket);
    }
}

/// Its socket, if that is where a peer with its process number would have made it.
fn own_socket(folder: &Path, plate: &Plate) -> Option<PathBuf> {
    let entry = socket_entry(plate.pid);
    let usual = folder.join(&entry);
    if plate.socket == usual {
        return Some(usual);
    }
    folder::short().ok().map(|short| short.join(entry)).filter(|short| plate.socket == *short)
}

fn socket_entry(pid: u32) -> String {
    format!("{pid}.sock")
}

fn plates_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == ENDING)).collect()
}

/// Never waits, whatever is called like a plate.
fn read(path: &Path) -> Option<Plate> {
    // Looked at first, because opening some devices does something; without waiting, because it may change until then.
    fs::symlink_metadata(path).ok().filter(Metadata::is_file)?;
    let flags = OFlags::NONBLOCK.union(OFlags::NOFOLLOW).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    file.metadata().ok().filter(|about| about.is_file() && about.len() <= MAX_PLATE_BYTES)?;
    let mut text = Vec::new();
    file.take(MAX_PLATE_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Whether somebody listens: who is stopped or busy does, too.
async fn is_alive(socket: &Path) -> bool {
    match UnixStream::connect(socket).await {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
    }
}
