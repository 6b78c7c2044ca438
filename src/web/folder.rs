//! The private folder in which running peers are found.

use rustix::process::geteuid;
use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why there is no such folder.
#[derive(Debug, Error)]
pub enum FolderError {
    /// Who made it could read or exchange what is in it.
    #[error("{} belongs to somebody else: set XDG_RUNTIME_DIR to a folder of yours", .0.display())]
    NotOurs(PathBuf),
    /// Something else has its name.
    #[error("{} is no folder: remove it, or set XDG_RUNTIME_DIR to a folder of yours", .0.display())]
    NoFolder(PathBuf),
    /// It cannot be made.
    #[error("cannot make {}: {error}", .path.display())]
    Unmade {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// `$XDG_RUNTIME_DIR/p2p`; where that is unset, `p2p-` and our user's number in the folder for temporary files. Made, if
/// it is not there; refused, if it is somebody else's.
pub fn private() -> Result<PathBuf, FolderError> {
    let path = match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(runtime) => runtime.join("p2p"),
        None => temporary(&env::temp_dir()),
    };
    make(&path)?;
    Ok(path)
}

/// Another one with a short path, for sockets: theirs have a hundred bytes.
pub fn short() -> Result<PathBuf, FolderError> {
    let path = temporary(Path::new("/tmp"));
    make(&path)?;
    Ok(path)
}

fn temporary(folder: &Path) -> PathBuf {
    folder.join(format!("p2p-{}", geteuid().as_raw()))
}

fn make(path: &Path) -> Result<(), FolderError> {
    let unmade = |error| FolderError::Unmade { path: path.to_owned(), error };
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unmade(error)),
        Ok(()) | Err(_) => {}
    }
    // Of the entry itself: a link could lead into somebody else's folder.
    let about = fs::symlink_metadata(path).map_err(unmade)?;
    if about.uid() != geteuid().as_raw() {
        return Err(FolderError::NotOurs(path.to_owned()));
    }
    if !about.is_dir() {
        return Err(FolderError::NoFolder(path.to_owned()));
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(unmade)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_folder_is_private_whatever_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p2p");
        make(&path).unwrap();
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode(), 0o700);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        make(&path).unwrap();
        assert_eq!(mode(), 0o700);
    }

    #[test]
    fn what_is_no_folder_of_ours_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (link, file) = (dir.path().join("link"), dir.path().join("file"));
        symlink(dir.path(), &link).unwrap();
        fs::write(&file, "").unwrap();
        assert!(matches!(make(&link), Err(FolderError::NoFolder(_))));
        assert!(matches!(make(&file), Err(FolderError::NoFolder(_))));
        assert!(matches!(make(&dir.path().join("no/such")), Err(FolderError::Unmade { .. })));
    }
}
