use super::*;
use crate::ground::FileName;
use std::io::Cursor;
use std::process::Command;
use std::thread;
use tempfile::{TempDir, tempdir};

fn manifest(name: &str, version: u64, bytes: &[u8]) -> Manifest {
    let content = Content { hash: *blake3::hash(bytes).as_bytes(), len_bytes: bytes.len() as u64 };
    Manifest::after(None, FileName::parse(name).unwrap(), content, Id::ZERO).at_version(version)
}

fn open(dir: &TempDir) -> Store {
    Store::open(&dir.path().join("store")).unwrap()
}

fn keep(store: &Store, name: &str, version: u64, bytes: &[u8]) -> Result<(), StoreError> {
    store.keep(&manifest(name, version, bytes), &mut Cursor::new(bytes))
}

fn bytes_of(store: &Store, name: &str) -> Vec<u8> {
    let key = FileName::parse(name).unwrap().key();
    let mut bytes = Vec::new();
    store.open_content(&store.get(&key).unwrap().content).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// How many files lie in each of the store's folders.
fn files(dir: &TempDir) -> [usize; 3] {
    ["content", "names", "tmp"].map(|name| files_in(&dir.path().join("store").join(name)).unwrap().len())
}

#[test]
fn files_survive_reopening() {
    let dir = tempdir().unwrap();
    let mut odd = vec![b'x'; 200];
    odd[72] = 0x9c;
    let store = open(&dir);
    keep(&store, "4103", 1, &odd).unwrap();
    keep(&store, "empty", 1, b"").unwrap();
    let before = store.manifests();
    drop(store);
    let store = open(&dir);
    assert_eq!(store.manifests(), before);
    assert_eq!(bytes_of(&store, "4103"), odd);
    assert_eq!(bytes_of(&store, "empty"), b"");
}

#[test]
fn only_its_owner_may_look_into_the_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempdir().unwrap();
    let _store = open(&dir);
    assert_eq!(fs::metadata(dir.path().join("store")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_store_is_opened_once_at_a_time() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    let root = dir.path().join("store");
    assert_eq!(Store::open(&root).err(), Some(StoreError::InUse(root.clone())));
    drop(store);
    assert!(Store::open(&root).is_ok());
}

#[test]
fn leftovers_are_swept_when_the_store_opens() {
    let dir = tempdir().unwrap();
    drop(open(&dir));
    let root = dir.path().join("store");
    fs::write(root.join("tmp/3"), "half a file").unwrap();
    fs::write(root.join("content/abc"), "no name refers to it").unwrap();
    fs::write(root.join("names/abc"), "no manifest").unwrap();
    fs::write(root.join("names/abd"), record::encode(&manifest("x", 1, b"no content"))).unwrap();
    open(&dir);
    assert_eq!(files(&dir), [0, 0, 0]);
}

#[test]
fn names_without_their_whole_content_are_dropped_when_the_store_opens() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    for (name, bytes) in [("gone", b"a"), ("short", b"b"), ("whole", b"c")] {
        keep(&store, name, 1, bytes).unwrap();
    }
    let root = dir.path().join("store");
    fs::remove_file(content_path(&root, &manifest("gone", 1, b"a").content)).unwrap();
    fs::write(content_path(&root, &manifest("short", 1, b"b").content), "").unwrap();
    drop(store);
    assert_eq!(open(&dir).manifests(), [manifest("whole", 1, b"c")]);
    assert_eq!(files(&dir), [1, 1, 0]);
}

#[test]
fn a_later_programs_store_is_left_alone() {
    let dir = tempdir().unwrap();
    drop(open(&dir));
    let name = dir.path().join("store/names/abc");
    fs::write(&name, "d1:vi3ee").unwrap();
    assert_eq!(Store::open(&dir.path().join("store")).err(), Some(StoreError::Later(name.clone())));
    assert!(name.exists());
}

#[test]
fn an_unfinished_or_damaged_upload_leaves_nothing_behind() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    let wanted = manifest("4103", 1, b"good bytes");
    for (bytes, fills) in [(&b"good"[..], false), (b"evil bytes", true)] {
        let mut incoming = store.begin(&wanted).unwrap();
        assert_eq!(incoming.fill(&mut &bytes[..]).is_ok(), fills);
        assert_eq!(files(&dir), [0, 0, 1]);
        assert_eq!(incoming.commit(), Err(StoreError::Damaged));
        assert_eq!(files(&dir), [0, 0, 0]);
    }
    assert_eq!(keep(&store, "4103", 1, b"").and(store.keep(&wanted, &mut &b"good"[..])), Err(StoreError::Changed));
}

#[test]
fn the_higher_version_wins_in_either_order() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    keep(&store, "up", 1, b"one").unwrap();
    keep(&store, "up", 2, b"two").unwrap();
    keep(&store, "down", 2, b"2").unwrap();
    assert_eq!(keep(&store, "down", 1, b"1"), Err(StoreError::Outdated(manifest("down", 2, b"2").holding())));
    assert_eq!(keep(&store, "down", 2, b"2"), Ok(()), "it is here already");
    assert_eq!((bytes_of(&store, "up"), bytes_of(&store, "down")), (b"two".to_vec(), b"2".to_vec()));
    assert_eq!(files(&dir), [2, 2, 0], "nothing is left of the lower ones");
}

#[test]
fn of_many_uploads_of_one_name_at_once_the_highest_stays() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    thread::scope(|scope| {
        for version in 1..=16 {
            let store = &store;
            scope.spawn(move || {
                let outcome = keep(store, "4103", version, format!("version {version}").as_bytes());
                assert!(matches!(outcome, Ok(()) | Err(StoreError::Outdated(_))), "{outcome:?}");
            });
        }
    });
    assert_eq!(bytes_of(&store, "4103"), b"version 16");
    assert_eq!(files(&dir), [1, 1, 0]);
}

#[test]
fn names_share_equal_content_and_the_last_one_takes_it_along() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    assert_eq!(store.adopt(&manifest("a", 1, b"same")), Ok(false));
    keep(&store, "a", 1, b"same").unwrap();
    assert_eq!(store.adopt(&manifest("b", 1, b"same")), Ok(true));
    assert_eq!(files(&dir), [1, 2, 0]);
    store.forget(&manifest("a", 1, b"same")).unwrap();
    assert_eq!(bytes_of(&store, "b"), b"same");
    store.forget(&manifest("b", 1, b"same")).unwrap();
    assert_eq!(files(&dir), [0, 0, 0]);
    drop(store);
    assert_eq!(open(&dir).manifests(), []);
}

#[test]
fn a_version_that_was_replaced_meanwhile_is_not_forgotten() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    keep(&store, "4103", 1, b"one").unwrap();
    keep(&store, "4103", 2, b"two").unwrap();
    store.forget(&manifest("4103", 1, b"one")).unwrap();
    assert_eq!(bytes_of(&store, "4103"), b"two");
}

#[test]
fn an_arrival_replaces_its_destination_whole_or_leaves_nothing() {
    let dir = tempdir().unwrap();
    let destination = dir.path().join(format!("{}.pdf", "ü".repeat(125)));
    fs::write(&destination, "an older and longer one").unwrap();
    let mut arrival = Arrival::at(&destination).unwrap();
    arrival.fill(&mut &b"wrong"[..], 5).unwrap();
    arrival.restart().unwrap();
    assert!(matches!(arrival.fill(&mut &b"ab"[..], 3), Err(PourError::Ended)));
    arrival.fill(&mut &b"c"[..], 1).unwrap();
    assert_eq!(arrival.content(), manifest("x", 1, b"abc").content);
    drop(Arrival::at(&destination).unwrap());
    arrival.finish().unwrap();
    assert_eq!(fs::read(&destination).unwrap(), b"abc");
    assert_eq!(files_in(dir.path()).unwrap(), [destination]);
    assert!(Arrival::at(dir.path()).is_err(), "a folder is not replaced");
}

#[test]
fn an_arrival_copies_only_what_is_wanted() {
    let dir = tempdir().unwrap();
    let mut arrival = Arrival::at(&dir.path().join("received_4103")).unwrap();
    let wanted = Some(manifest("4103", 1, b"abc").content);
    assert_eq!(arrival.copy(&mut &b"abd"[..], 3, wanted), Err(StoreError::Damaged));
    assert_eq!(arrival.copy(&mut &b"ab"[..], 3, wanted), Err(StoreError::Changed));
    assert_eq!(arrival.copy(&mut &b"abc"[..], 3, wanted), Ok(()));
}

/// A file system of 1 MiB; None where we may not mount one.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    pub fn mount() -> Option<SmallDisk> {
        let dir = tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=1m", "none"];
        let mounted = Command::new("mount").args(mount).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(dir));
        }
        eprintln!("skipped: may not mount a small disk");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_noticed_at_once_and_smaller_files_still_fit() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = Store::open(disk.path()).unwrap();
    let refused = store.begin(&manifest("large", 1, &vec![1; 2 << 20])).err().unwrap();
    assert!(matches!(refused, StoreError::Full(_)) && refused.to_string().starts_with("no space left"), "{refused}");
    assert_eq!(files_in(&disk.path().join("tmp")).unwrap().len(), 0);
    keep(&store, "small", 1, b"fits").unwrap();
    assert_eq!(bytes_of(&store, "small"), b"fits");
}

#[test]
fn a_length_no_disk_can_hold_is_refused() {
    let dir = tempdir().unwrap();
    let mut wanted = manifest("4103", 1, b"");
    wanted.content.len_bytes = i64::MAX as u64;
    let store = open(&dir);
    assert!(matches!(store.begin(&wanted), Err(StoreError::Full(_))));
    assert_eq!(files(&dir), [0, 0, 0]);
}
