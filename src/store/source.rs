//! Files that people store: finding, opening and hashing them. The source is never touched.

use super::error::plain;
use super::pieces::{PieceHasher, Pieces};
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Guess: so much that system calls cost nothing beside the hashing: 1 GiB from the page cache takes 0.16 to 0.3 s on one
/// core (benches/transfer.rs), so more threads or mapped memory are not worth their trouble.
const BUFFER_BYTES: usize = 1 << 20;

/// Why a file cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadSource {
    /// Nothing has this name.
    #[error("there is no file {}", .0.display())]
    Missing(PathBuf),
    /// A folder has it.
    #[error("{} is a folder: store the files in it one by one", .0.display())]
    Folder(PathBuf),
    /// A pipe, a socket or a device has it.
    #[error("{} is not a regular file", .0.display())]
    NotRegular(PathBuf),
    /// We may not read it, or the disk failed.
    #[error("{} cannot be read: {reason}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// Looks for the file people mean: as given, then `<name>.pdf`, then the first `<name>.*` in the order of their names;
/// in one folder after the other. Only regular files are found.
pub fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().find_map(|folder| find_in(folder, name))
}

fn find_in(folder: &Path, name: &str) -> Option<PathBuf> {
    let as_given = folder.join(name);
    let as_pdf = folder.join(format!("{name}.pdf"));
    [as_given, as_pdf].into_iter().find(|path| path.is_file()).or_else(|| first_with_extension(&folder.join(name)))
}

/// The first `<path>.*`, but no `received_*`: those are copies that came from the network.
fn first_with_extension(path: &Path) -> Option<PathBuf> {
    let start = format!("{}.", path.file_name()?.to_str()?);
    let entries = fs::read_dir(path.parent()?).ok()?;
    let is_meant = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.starts_with(&start) && !name.starts_with("received_"))
    };
    entries.flatten().filter(is_meant).map(|entry| entry.path()).filter(|path| path.is_file()).min()
}

/// Opens a file for reading, and says how many bytes it has. Never waits, whatever the path leads to.
pub fn open(path: &Path) -> Result<(File, u64), BadSource> {
    // Looked at first, because opening some devices does something; without waiting, because it may change until then.
    check(path, fs::metadata(path))?;
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| unreadable(path, &error))?;
    let len_bytes = check(path, file.metadata())?.len();
    Ok((file, len_bytes))
}

fn check(path: &Path, about: io::Result<fs::Metadata>) -> Result<fs::Metadata, BadSource> {
    match about {
        Ok(about) if about.is_file() => Ok(about),
        Ok(about) if about.is_dir() => Err(BadSource::Folder(path.to_owned())),
        Ok(_) => Err(BadSource::NotRegular(path.to_owned())),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> BadSource {
    match error.kind() {
        io::ErrorKind::NotFound => BadSource::Missing(path.to_owned()),
        _ => BadSource::Unreadable { path: path.to_owned(), reason: plain(error) },
    }
}

/// What a file is, and its chunks are: reads all of it, from the beginning, whatever was read before. 1 MiB of memory.
pub fn hash(file: &mut File) -> io::Result<Pieces> {
    file.rewind()?;
    let mut hasher = PieceHasher::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => hasher.update(&buffer[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, missing) = (dir.path().join("fifo"), dir.path().join("missing"));
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert_eq!(open(&fifo).unwrap_err(), BadSource::NotRegular(fifo));
        assert_eq!(open(&missing).unwrap_err(), BadSource::Missing(missing));
        assert_eq!(open(dir.path()).unwrap_err(), BadSource::Folder(dir.path().to_owned()));
        let device = PathBuf::from("/dev/zero");
        assert_eq!(open(&device).unwrap_err(), BadSource::NotRegular(device));
    }

    #[test]
    fn a_file_is_found_as_given_then_as_pdf_then_with_any_extension() {
        let (here, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [here.path().to_owned(), files.path().to_owned()];
        let make = |dir: &tempfile::TempDir, name| fs::write(dir.path().join(name), "").unwrap();
        let found = || {
            let path = find("4103", &folders)?;
            Some((path.starts_with(here.path()), path.file_name()?.to_str()?.to_owned()))
        };
        fs::create_dir(here.path().join("4103")).unwrap();
        make(&here, "received_4103.pdf");
        make(&here, "41030.pdf");
        assert_eq!(found(), None, "a folder, a copy, another name");
        for (dir, name) in [(&files, "4103.txt"), (&files, "4103.doc"), (&files, "4103.pdf"), (&here, "4103.zip")] {
            make(dir, name);
            assert_eq!(found(), Some((std::ptr::eq(dir, &here), name.to_owned())));
        }
        fs::remove_dir(here.path().join("4103")).unwrap();
        make(&here, "4103");
        assert_eq!(found(), Some((true, "4103".to_owned())));
    }

    #[test]
    fn a_path_may_lead_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("here")).unwrap();
        fs::write(dir.path().join("4103.pdf"), "").unwrap();
        assert!(find("../4103", &[dir.path().join("here")]).is_some());
        assert!(find("..", &[dir.path().join("here")]).is_none());
    }

    #[test]
    fn hashing_starts_at_the_beginning() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"abc").unwrap();
        let content = hash(&mut file).unwrap().content();
        assert_eq!((content.hash, content.len_bytes), (*blake3::hash(b"abc").as_bytes(), 3));
    }
}
