//! Faults of a disk, on demand: the shim (`shim.c`) compiled and preloaded, and the page through which it is told what
//! to do while the program runs.

// Each file of tests uses a part of this.
#![allow(dead_code)]

mod disk;
mod pair;
mod sweep;

pub use disk::Disk;
pub use pair::{LIMIT, Pair, Room, Told, leftovers, request};
pub use sweep::{Report, sweep};

use rustix::io::Errno;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What happens at the n-th call that changes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The program is killed before it.
    Kill,
    /// Half of the bytes are written, and the program is killed. A call that writes none is not begun.
    Tear,
    /// It and all later ones fail. A disk that is full takes half of the first write, and lets go of files.
    From(Errno),
    /// It alone fails.
    Once(Errno),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill => write!(f, "killed before"),
            Fault::Tear => write!(f, "killed half-way"),
            Fault::From(error) => write!(f, "failing from then on ({error})"),
            Fault::Once(error) => write!(f, "failing once ({error})"),
        }
    }
}

impl Fault {
    /// The program is to die of it.
    pub fn is_deadly(self) -> bool {
        match self {
            Fault::Kill | Fault::Tear => true,
            Fault::From(_) | Fault::Once(_) => false,
        }
    }
}

/// What the shim and a test share: `struct page` in `shim.c`.
pub struct Page {
    file: File,
    path: PathBuf,
}

impl Page {
    const NUMBER_BYTES: usize = 8;
    const NUMBERS: usize = 5;
    /// Where the count of the calls that were hit lies.
    const HITS_AT: u64 = 32;

    /// A page that says: go on.
    pub fn new(path: &Path) -> Page {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        let page = Page { file, path: path.to_owned() };
        page.disarm();
        page
    }

    /// From now on, the n-th call is hit; the first is 1.
    pub fn arm(&self, fault: Fault, n: u64) {
        match fault {
            Fault::Kill => self.write(n, 1, 0),
            Fault::Tear => self.write(n, 2, 0),
            Fault::From(error) => self.write(n, 3, error.raw_os_error()),
            Fault::Once(error) => self.write(n, 4, error.raw_os_error()),
        }
    }

    /// The disk is in order again. Forgets the counts.
    pub fn disarm(&self) {
        self.write(0, 0, 0);
    }

    /// Whether any call was hit since the page was armed.
    pub fn has_hit(&self) -> bool {
        let mut number = [0; Page::NUMBER_BYTES];
        self.file.read_exact_at(&mut number, Page::HITS_AT).unwrap();
        u64::from_ne_bytes(number) > 0
    }

    fn write(&self, at: u64, fault: i64, error: i32) {
        let numbers: [i64; Page::NUMBERS] = [0, at.cast_signed(), fault, error.into(), 0];
        let bytes: Vec<u8> = numbers.into_iter().flat_map(i64::to_ne_bytes).collect();
        self.file.write_all_at(&bytes, 0).unwrap();
    }
}

/// The compiled shim.
pub struct Shim {
    library: PathBuf,
    _dir: TempDir,
}

impl Shim {
    /// Compiles it. None, and a word about it, where there is no C compiler.
    pub fn compile() -> Option<Shim> {
        let dir = TempDir::new().unwrap();
        let library = dir.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let mut command = Command::new("cc");
        command.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]);
        match command.arg(&library).arg(source).arg("-ldl").status() {
            Ok(status) => assert!(status.success(), "the shim does not compile"),
            Err(error) => {
                eprintln!("skipped: no C compiler: cc: {error}");
                return None;
            }
        }
        Some(Shim { library, _dir: dir })
    }

    /// Lets a program run with it, its faults confined to `folder`.
    pub fn preload(&self, command: &mut Command, folder: &Path, page: &Page) {
        let folder = folder.canonicalize().unwrap();
        command.env("LD_PRELOAD", &self.library).env("FAULT_FOLDER", folder).env("FAULT_PAGE", &page.path);
    }
}

/// Copies a folder and all in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// All files in a folder and those below it.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
