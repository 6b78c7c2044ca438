//! Files that are there only while a command runs, where nobody else can read them. What has arrived of a single file when
//! the command is ended or fails stays, for the next command that wants it.

use rustix::process::geteuid;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};

/// The longest part of a file's name in that of its folder: with what is before it, the longest of the usual file systems.
const MAX_NAME_BYTES: usize = 240;

/// How often another name is tried. Guess: nobody leaves so many behind, with the numbers of our process.
const NAME_TRIES: u32 = 1000;

/// What the names of files end with that say how much of another has arrived: that is worth going on with.
const WORTH: &str = "have";

/// Who uses a folder holds a lock on this file in it.
const LOCK: &str = "lock";

/// All that are there.
static PASSING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A folder of our own. Dropped, it is gone with what is in it.
pub struct Passing {
    path: PathBuf,
    /// Held as long as we use it, where others may come after us.
    lock: Option<File>,
    /// It is left to them.
    stays: bool,
}

impl Passing {
    /// Makes one in a folder.
    pub fn within(folder: &Path) -> io::Result<Passing> {
        for number in 0..NAME_TRIES {
            let path = folder.join(format!(".p2p-{}-{number}", process::id()));
            let mut passing = PASSING.lock().unwrap_or_else(PoisonError::into_inner);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    passing.insert(path.clone());
                    return Ok(Passing { path, lock: None, stays: false });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Makes the one for what becomes this file, or goes on with what an ended command left in it. Where somebody else
    /// uses it, another one.
    pub fn beside(target: &Path) -> io::Result<Passing> {
        let folder = target.parent().unwrap_or(Path::new(""));
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = folder.join(format!(".p2p-{}", &name[..name.floor_char_boundary(MAX_NAME_BYTES)]));
        let mut passing = PASSING.lock().unwrap_or_else(PoisonError::into_inner);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && is_private(&path) => {}
            made => made?,
        }
        let lock = File::create(path.join(LOCK))?;
        if lock.try_lock().is_err() {
            drop(passing);
            return Passing::within(folder);
        }
        passing.insert(path.clone());
        Ok(Passing { path, lock: Some(lock), stays: false })
    }

    /// Ends its use where that came to nothing: what is worth going on with stays. True: there is some.
    pub fn leave(mut self) -> bool {
        self.stays = self.lock.is_some() && is_worth(&self.path);
        self.stays
    }

    /// Where a file of this name is in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// It is a folder that only we can read.
fn is_private(path: &Path) -> bool {
    let ours = |about: fs::Metadata| about.is_dir() && about.mode() & 0o077 == 0 && about.uid() == geteuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(ours)
}

/// Something in it is worth going on with.
fn is_worth(path: &Path) -> bool {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().extension().is_some_and(|ending| ending == WORTH))
}

impl Drop for Passing {
    fn drop(&mut self) {
        let mut passing = PASSING.lock().unwrap_or_else(PoisonError::into_inner);
        passing.remove(&self.path);
        if !self.stays {
            // Nobody is left to tell.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes all of them, because the program ends at once; but leaves what is worth going on with. True: there is some.
pub fn end_all() -> bool {
    let passing = PASSING.lock().unwrap_or_else(PoisonError::into_inner);
    let (kept, rest): (Vec<&PathBuf>, Vec<&PathBuf>) =
        passing.iter().partition(|path| path.join(LOCK).exists() && is_worth(path));
    for path in rest {
        let _ = fs::remove_dir_all(path);
    }
    !kept.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn what_becomes_a_file_has_one_folder_for_one_command_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.pdf");
        let first = Passing::beside(&target).unwrap();
        let folder = first.file("");
        assert_ne!(Passing::beside(&target).unwrap().file(""), folder, "it is in use");
        drop(first);
        assert!(!folder.exists());
        // Left by one that was killed.
        DirBuilder::new().mode(0o700).create(&folder).unwrap();
        fs::write(folder.join("part"), "x").unwrap();
        assert!(Passing::beside(&target).unwrap().file("part").exists());
        assert!(!Passing::beside(&target).unwrap().leave() && !folder.exists(), "nothing in it tells how much came");
        let failed = Passing::beside(&target).unwrap();
        fs::write(failed.file("part.have"), "x").unwrap();
        assert!(failed.leave());
        assert!(Passing::beside(&target).unwrap().file("part.have").exists(), "and it is not in use any more");
        DirBuilder::new().mode(0o755).create(dir.path().join(".p2p-b.pdf")).unwrap();
        assert!(Passing::beside(&dir.path().join("b.pdf")).is_err(), "others can read it");
    }
}
