//! Room for a file that is on its way to somewhere else, and gone when it is there.

use super::error::On as _;
use super::temporary::{Temporary, reserve};
use super::{Store, StoreError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

/// A file that is there only while somebody has it. Clones are the same file.
#[derive(Clone)]
pub struct Passing {
    temporary: Arc<Temporary>,
}

impl Store {
    /// Room for so many bytes, and no limit to more. A full disk is noticed here.
    pub fn passing(&self, len_bytes: u64) -> Result<Passing, StoreError> {
        let temporary = self.temporary()?;
        reserve(temporary.file(), len_bytes).on("write", temporary.path())?;
        Ok(Passing { temporary: Arc::new(temporary) })
    }
}

impl Passing {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Puts bytes at a place.
    pub fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.temporary.file().write_all_at(bytes, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn it_is_there_only_while_somebody_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), None).unwrap();
        let passing = store.passing(6).unwrap();
        passing.write_at(b"bar", 3).unwrap();
        passing.write_at(b"foo", 0).unwrap();
        let path = passing.path().to_owned();
        let clone = passing.clone();
        drop(passing);
        assert_eq!(fs::read(&path).unwrap(), b"foobar");
        drop(clone);
        assert!(!path.exists());
        assert!(matches!(store.passing(u64::MAX >> 1), Err(StoreError::Full(_))));
    }
}
