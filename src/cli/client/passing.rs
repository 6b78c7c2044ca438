//! Files that are there only while a command runs, where nobody else can read them.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};

/// How often another name is tried. Guess: nobody leaves so many behind, with the numbers of our process.
const NAME_TRIES: u32 = 1000;

/// All that are there.
static PASSING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A folder of our own for one file. Dropped, it is gone with what is in it.
pub struct Passing(PathBuf);

impl Passing {
    /// Makes one in a folder.
    pub fn within(folder: &Path) -> io::Result<Passing> {
        for number in 0..NAME_TRIES {
            let path = folder.join(format!(".p2p-{}-{number}", process::id()));
            let mut passing = PASSING.lock().unwrap_or_else(PoisonError::into_inner);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    passing.insert(path.clone());
                    return Ok(Passing(path));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Where a file of this name is in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let mut passing = PASSING.lock().unwrap_or_else(PoisonError::into_inner);
        passing.remove(&self.0);
        // Nobody is left to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes all of them, because the program ends at once.
pub fn remove_all() {
    let passing = PASSING.lock().unwrap_or_else(PoisonError::into_inner);
    for path in passing.iter() {
        let _ = fs::remove_dir_all(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_passing_folder_is_private_and_goes_with_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = [(); 2].map(|()| Passing::within(dir.path()).unwrap());
        let path = one.file("sealed");
        fs::write(&path, "x").unwrap();
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        drop(one);
        assert!(!path.exists() && two.file("x").parent().unwrap().exists());
        drop(two);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
