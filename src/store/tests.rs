use super::pieces::tests::noise;
use super::*;
use crate::ground::FileName;
use std::io::Cursor;
use std::os::unix::fs::FileTypeExt as _;
use std::process::Command;
use std::thread;
use tempfile::{TempDir, tempdir};

pub(super) fn manifest(name: &str, version: u64, bytes: &[u8]) -> Manifest {
    let content = Content { hash: *blake3::hash(bytes).as_bytes(), len_bytes: bytes.len() as u64 };
    of_content(name, version, content)
}

fn of_content(name: &str, version: u64, content: Content) -> Manifest {
    Manifest::after(None, FileName::parse(name).unwrap(), content, Id::ZERO).at_version(version)
}

pub(super) fn open(dir: &TempDir) -> Store {
    try_open(dir, None).unwrap()
}

fn try_open(dir: &TempDir, quota: Option<u64>) -> Result<Store, StoreError> {
    Store::open(&dir.path().join("store"), quota)
}

/// As it is kept when it is being stored.
pub(super) fn keep(store: &Store, name: &str, version: u64, bytes: &[u8]) -> Result<(), StoreError> {
    store.keep(&manifest(name, version, bytes), None, true, &mut Cursor::new(bytes))
}

/// What is held, without what is left of it.
fn held(store: &Store) -> Vec<Manifest> {
    store.held().into_iter().map(|kept| kept.manifest).collect()
}

fn bytes_of(store: &Store, name: &str) -> Vec<u8> {
    let key = FileName::parse(name).unwrap().key();
    let mut bytes = Vec::new();
    store.open_content(&store.get(&key).unwrap().content).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// How many files lie in the store's folders for content and for what is being written.
fn files(dir: &TempDir) -> [usize; 2] {
    ["content", "tmp"].map(|name| files_in(&dir.path().join("store").join(name)).unwrap().len())
}

#[test]
fn files_survive_reopening() {
    let dir = tempdir().unwrap();
    let mut odd = vec![b'x'; 200];
    odd[72] = 0x9c;
    let store = open(&dir);
    keep(&store, "4103", 1, &odd).unwrap();
    keep(&store, "empty", 1, b"").unwrap();
    let before = store.held();
    assert_eq!((before.len(), store.used_bytes()), (2, 200));
    drop(store);
    let store = open(&dir);
    assert_eq!((store.held(), store.used_bytes()), (before, 200));
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
    let in_use = Some(StoreError::InUse(dir.path().join("store")));
    assert_eq!(try_open(&dir, None).err(), in_use);
    // The database knows by itself, where somebody has removed the lock file.
    fs::remove_file(dir.path().join("store/lock")).unwrap();
    assert_eq!(try_open(&dir, None).err(), in_use);
    drop(store);
    assert!(try_open(&dir, None).is_ok());
}

/// Not a test of its own: what another process does in the one below.
#[test]
#[ignore = "is run by another test"]
fn another_process_opens_the_store() {
    let Ok(root) = std::env::var("P2P_TEST_STORE") else { return };
    let error = Store::open(Path::new(&root), None).err().map(|error| error.to_string());
    println!("{}", error.unwrap_or_else(|| "opened".to_owned()));
}

#[test]
fn another_process_is_refused() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("store");
    let elsewhere = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "store::tests::another_process_opens_the_store", "--ignored", "--nocapture"]);
        let output = child.env("P2P_TEST_STORE", &root).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let store = open(&dir);
    let said = elsewhere();
    assert!(said.contains(&format!("{} is in use by another process", root.display())), "{said}");
    drop(store);
    assert!(elsewhere().contains("opened"));
}

#[test]
fn leftovers_are_swept_when_the_store_opens() {
    let dir = tempdir().unwrap();
    drop(open(&dir));
    let root = dir.path().join("store");
    fs::write(root.join("tmp/3"), "half a file").unwrap();
    fs::write(root.join("content/abc"), "no version refers to it").unwrap();
    fs::write(root.join("partial/abc"), "it may go on").unwrap();
    let store = open(&dir);
    assert_eq!((files(&dir), store.used_bytes()), ([0, 0], 0));
    assert!(root.join("partial/abc").exists());
}

#[test]
fn versions_without_their_whole_content_are_struck_when_the_store_opens() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    for (name, bytes) in [("gone", b"a"), ("short", b"b"), ("whole", b"c")] {
        keep(&store, name, 1, bytes).unwrap();
    }
    let root = dir.path().join("store");
    fs::remove_file(content_path(&root, &manifest("gone", 1, b"a").content)).unwrap();
    fs::write(content_path(&root, &manifest("short", 1, b"b").content), "").unwrap();
    drop(store);
    assert_eq!(held(&open(&dir)), [manifest("whole", 1, b"c")]);
    assert_eq!(files(&dir), [1, 0]);
    fs::write(content_path(&root, &manifest("gone", 1, b"a").content), "a").unwrap();
    assert_eq!(held(&open(&dir)), [manifest("whole", 1, b"c")], "struck is struck");
}

#[test]
fn what_cannot_be_understood_is_left_alone() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    keep(&store, "4103", 1, b"bytes").unwrap();
    drop(store);
    let root = dir.path().join("store");
    let index = root.join("index.redb");
    let good = fs::read(&index).unwrap();

    fs::remove_file(&index).unwrap();
    assert_eq!(try_open(&dir, None).err(), Some(StoreError::Lost(index.clone())));
    fs::create_dir(root.join("names")).unwrap();
    fs::write(root.join("names/abc"), "a manifest of the earlier form").unwrap();
    assert_eq!(try_open(&dir, None).err(), Some(StoreError::Earlier(root.clone())));
    assert!(root.join("names/abc").exists());

    for spoilt in [b"no database".to_vec(), good[..good.len() / 2].to_vec(), vec![0; good.len()]] {
        fs::write(&index, &spoilt).unwrap();
        let refused = try_open(&dir, None).err().unwrap();
        assert!(matches!(&refused, StoreError::Corrupt { path, .. } if *path == index), "{refused}");
        assert_eq!(fs::read(&index).unwrap().len(), spoilt.len());
    }
    assert_eq!(files(&dir), [1, 0]);
    fs::write(&index, good).unwrap();
    assert_eq!(bytes_of(&open(&dir), "4103"), b"bytes");
}

#[test]
fn a_flipped_bit_anywhere_in_the_index_ends_no_process() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    (0..40).for_each(|number| keep(&store, &number.to_string(), 1, &[number]).unwrap());
    drop(store);
    let index = dir.path().join("store/index.redb");
    let good = fs::read(&index).unwrap();
    let mut refused = 0;
    for at in (0..good.len()).step_by(good.len() / 200) {
        let mut spoilt = good.clone();
        spoilt[at] ^= 1 << (at % 8);
        fs::write(&index, &spoilt).unwrap();
        match try_open(&dir, None) {
            Ok(store) => assert_eq!(store.held().len(), 40, "byte {at} was of no meaning"),
            Err(StoreError::Corrupt { .. }) => refused += 1,
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(refused > 0);
}

#[test]
fn an_unfinished_or_damaged_upload_leaves_nothing_behind() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    let wanted = manifest("4103", 1, b"good bytes");
    for (bytes, fills) in [(&b"good"[..], false), (b"evil bytes", true)] {
        let mut incoming = store.begin(&wanted).unwrap();
        assert_eq!(incoming.fill(&mut &bytes[..]).is_ok(), fills);
        assert_eq!(files(&dir), [0, 1]);
        assert_eq!(incoming.commit(None, true), Err(StoreError::Damaged));
        assert_eq!(files(&dir), [0, 0]);
    }
    let changed = store.keep(&wanted, None, true, &mut &b"good"[..]);
    assert_eq!(changed, Err(StoreError::Changed));
}

#[test]
fn who_stores_below_a_later_version_is_told_of_it() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    keep(&store, "4103", 2, b"two").unwrap();
    let later = StoreError::Outdated(manifest("4103", 2, b"two").holding());
    assert_eq!(keep(&store, "4103", 1, b"one"), Err(later));
    assert_eq!(keep(&store, "4103", 2, b"two"), Ok(()), "it is here already");
    assert_eq!(files(&dir), [1, 0]);
    let comes_back = manifest("4103", 1, b"one");
    store.keep(&comes_back, None, false, &mut &b"one"[..]).unwrap();
    assert_eq!(held(&store), [manifest("4103", 2, b"two"), comes_back]);
    assert_eq!(bytes_of(&store, "4103"), b"two");
}

#[test]
fn versions_stored_at_once_all_survive_reopening() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    let bytes = |number: u8| format!("bytes {number}").into_bytes();
    thread::scope(|scope| {
        for number in 0..8 {
            let store = &store;
            let (version, bytes) = (manifest("4103", 2, &bytes(number)), bytes(number));
            scope.spawn(move || store.keep(&version, None, false, &mut bytes.as_slice()).unwrap());
        }
    });
    let before = store.held();
    drop(store);
    let store = open(&dir);
    assert_eq!((before.len(), &before), (8, &store.held()));
    assert_eq!(files(&dir), [8, 0]);
    let highest = (0..8).map(bytes).max_by_key(|bytes| *blake3::hash(bytes).as_bytes()).unwrap();
    assert_eq!(bytes_of(&store, "4103"), highest, "they all agree who answers");
    let key = FileName::parse("4103").unwrap().key();
    assert_eq!(store.versions(&key).len(), 8);
    let one = manifest("4103", 2, &bytes(3));
    assert_eq!(store.find(&key, &one.content), Some(one));
}

#[test]
fn a_removal_ends_what_is_below_it_and_frees_its_bytes() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    keep(&store, "4103", 1, b"one").unwrap();
    keep(&store, "4103", 2, b"two").unwrap();
    let removal = of_content("4103", 3, Content::REMOVED);
    assert_eq!(store.adopt(&removal, None, true), Ok(true));
    assert_eq!((files(&dir), store.used_bytes()), ([0, 0], 0));
    let back = store.keep(&manifest("4103", 2, b"two"), None, false, &mut &b"two"[..]);
    assert_eq!(back, Err(StoreError::Outdated(removal.holding())), "from a peer that was away");
    drop(store);
    let store = open(&dir);
    assert_eq!(held(&store), [removal]);
    assert!(!store.refers_to(&Content::REMOVED));
    keep(&store, "4103", 4, b"again").unwrap();
    assert_eq!(bytes_of(&store, "4103"), b"again");
}

#[test]
fn a_used_up_quota_is_refused_until_something_is_forgotten() {
    let dir = tempdir().unwrap();
    let store = try_open(&dir, Some(10)).unwrap();
    keep(&store, "a", 1, b"1234567").unwrap();
    keep(&store, "same", 1, b"1234567").unwrap();
    let on_its_way = store.begin(&manifest("b", 1, b"89")).unwrap();
    let refused = keep(&store, "c", 1, b"ab").unwrap_err();
    assert_eq!(refused, StoreError::Quota { wanted: 2, used: 9, quota: 10 });
    let sentence = refused.to_string();
    assert!(sentence.contains("9 bytes of the quota of 10 bytes") && sentence.contains("larger quota"), "{sentence}");
    drop(on_its_way);
    keep(&store, "c", 1, b"ab").unwrap();
    for name in ["a", "same"] {
        assert!(matches!(keep(&store, "d", 1, b"cd"), Err(StoreError::Quota { .. })));
        store.forget(&manifest(name, 1, b"1234567")).unwrap();
    }
    keep(&store, "d", 1, b"cd").unwrap();
    drop(store);
    let store = try_open(&dir, Some(1)).unwrap();
    assert_eq!((store.used_bytes(), store.held().len()), (4, 2), "what is here stays");
}

#[test]
fn a_life_ends_when_it_is_over_and_the_longer_one_counts() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    let (day, week) = (Some(Duration::from_secs(86_400)), Some(Duration::from_secs(7 * 86_400)));
    let kept = manifest("4103", 1, b"bytes");
    let left = |store: &Store| store.held()[0].left;
    store.keep(&kept, week, true, &mut &b"bytes"[..]).unwrap();
    assert_eq!(store.adopt(&kept, day, false), Ok(true));
    drop(store);
    let store = open(&dir);
    assert!(left(&store) > day && left(&store) <= week, "{:?}", left(&store));
    assert_eq!(store.adopt(&kept, None, false), Ok(true));
    assert_eq!(store.adopt(&kept, day, false), Ok(true));
    let short = manifest("short", 1, b"soon gone");
    store.keep(&short, Some(Duration::ZERO), true, &mut &b"soon gone"[..]).unwrap();
    assert_eq!(store.held().len(), 2, "dropping it is for the peer");
    drop(store);
    let store = open(&dir);
    assert_eq!(store.held(), [Kept { manifest: kept, left: None }]);
    assert_eq!(files(&dir), [1, 0]);
}

#[test]
fn names_share_equal_content_and_the_last_one_takes_it_along() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    assert_eq!(store.adopt(&manifest("a", 1, b"same"), None, true), Ok(false));
    keep(&store, "a", 1, b"same").unwrap();
    assert_eq!(store.adopt(&manifest("b", 1, b"same"), None, true), Ok(true));
    assert_eq!(files(&dir), [1, 0]);
    store.forget(&manifest("a", 1, b"same")).unwrap();
    assert_eq!(bytes_of(&store, "b"), b"same");
    store.forget(&manifest("b", 1, b"same")).unwrap();
    assert_eq!(files(&dir), [0, 0]);
    drop(store);
    assert_eq!(held(&open(&dir)), []);
}

#[test]
fn the_same_bytes_under_many_names_at_once_are_kept_once() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    thread::scope(|scope| {
        for number in 0..16 {
            let store = &store;
            scope.spawn(move || {
                let name = (number % 4).to_string();
                keep(store, &name, 1, b"same").unwrap();
                if number % 2 == 0 {
                    store.forget(&manifest(&name, 1, b"same")).unwrap();
                }
            });
        }
    });
    // Names 1 and 3 were never forgotten.
    assert_eq!(bytes_of(&store, "1"), b"same");
    assert_eq!((files(&dir), store.used_bytes()), ([1, 0], 4));
    let before = store.held();
    drop(store);
    assert_eq!(open(&dir).held(), before);
}

#[test]
fn only_the_version_meant_is_forgotten() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    keep(&store, "4103", 1, b"one").unwrap();
    keep(&store, "4103", 2, b"two").unwrap();
    store.forget(&manifest("4103", 1, b"one")).unwrap();
    store.forget(&manifest("4103", 3, b"three")).unwrap();
    assert_eq!(held(&store), [manifest("4103", 2, b"two")]);
    assert_eq!(files(&dir), [1, 0]);
}

#[test]
fn pieces_live_as_long_as_their_content() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    let kept = manifest("4103", 1, b"bytes");
    let bytes = store.temporary().unwrap();
    io::Write::write_all(&mut bytes.file(), b"bytes").unwrap();
    bytes.sync().unwrap();
    store.place(bytes, &kept, None, true, Some(b"their pieces".to_vec())).unwrap();
    drop(store);
    let store = open(&dir);
    assert_eq!(store.pieces(&kept.content), Some(b"their pieces".to_vec()));
    assert_eq!(store.adopt(&manifest("other", 1, b"bytes"), None, true), Ok(true));
    store.forget(&kept).unwrap();
    assert!(store.pieces(&kept.content).is_some());
    let file = store.open_content(&kept.content).unwrap();
    assert_eq!(store.set_damaged(&kept.content, Some(&file)), Ok(vec![manifest("other", 1, b"bytes")]));
    assert_eq!(store.set_damaged(&kept.content, Some(&file)), Ok(vec![manifest("other", 1, b"bytes")]), "it still is");
    assert!(store.pieces(&kept.content).is_some() && files(&dir) == [1, 0], "it may be all that is left");
    store.forget(&manifest("other", 1, b"bytes")).unwrap();
    assert_eq!(store.pieces(&kept.content), None);
    assert_eq!(files(&dir), [0, 0]);
}

#[test]
fn what_uploads_left_counts_and_gives_way_where_the_quota_is_tight() {
    let dir = tempdir().unwrap();
    let store = try_open(&dir, Some(500_000)).unwrap();
    let (bytes, pieces) = noise(200_000);
    let broken_off = of_content("broken off", 1, pieces.content());
    let begin = |store: &Store| store.receive(&broken_off, &pieces).unwrap();
    begin(&store).partial().accept(0, &bytes[..pieces.chunk_len(0) as usize]).unwrap();
    let left = |store: &Store| partial::bytes_in(&store.folder("partial"));
    assert!(left(&store) >= 200_000);
    keep(&store, "fits beside", 1, &[7; 250_000]).unwrap();
    assert_eq!(begin(&store).partial().have().count(), 1, "it goes on");
    keep(&store, "fits alone", 1, &[8; 100_000]).unwrap();
    assert_eq!(left(&store), 0);
    let uploading = store.receive(&of_content("other", 1, noise(140_000).1.content()), &noise(140_000).1).unwrap();
    assert!(matches!(keep(&store, "too much", 1, &[9; 20_000]), Err(StoreError::Quota { .. })));
    assert!(left(&store) >= 140_000, "what is being filled stays");
    drop(uploading);
}

#[test]
fn good_bytes_that_came_while_bad_ones_were_read_are_not_dropped_for_them() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    keep(&store, "4103", 1, b"bytes").unwrap();
    let kept = manifest("4103", 1, b"bytes");
    let bad = store.open_content(&kept.content).unwrap();
    assert_eq!(store.set_damaged(&kept.content, Some(&bad)), Ok(vec![kept.clone()]));
    assert!(!store.keeps(&kept));
    keep(&store, "4103", 1, b"bytes").unwrap();
    assert_eq!(store.set_damaged(&kept.content, Some(&bad)), Ok(Vec::new()));
    assert_eq!(store.set_damaged(&kept.content, None), Ok(Vec::new()), "what was gone is back");
    assert!(store.keeps(&kept));
    assert_eq!(bytes_of(&store, "4103"), b"bytes");
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
fn an_arrival_replaces_nothing_but_a_file() {
    let dir = tempdir().unwrap();
    let [late, link] = ["late", "link"].map(|name| dir.path().join(name));
    let mut arrival = Arrival::at(&late).unwrap();
    arrival.fill(&mut &b"abc"[..], 3).unwrap();
    assert!(Command::new("mkfifo").arg(&late).status().unwrap().success());
    std::os::unix::fs::symlink(&late, &link).unwrap();
    for path in [&late, &link] {
        assert!(matches!(Arrival::at(path), Err(StoreError::NoFile(_))), "{path:?}");
        assert_eq!(Arrival::of(path, b"abc"), Err(StoreError::NoFile(path.clone())));
    }
    assert_eq!(arrival.finish(), Err(StoreError::NoFile(late.clone())), "it was made meanwhile");
    assert!(fs::metadata(&late).unwrap().file_type().is_fifo());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left of what came");
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

/// A file system of a little less than 2 MiB, half of which an index takes; None where we may not mount one.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    pub fn mount() -> Option<SmallDisk> {
        let dir = tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=1984k", "none"];
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
    let store = Store::open(disk.path(), None).unwrap();
    let refused = store.begin(&manifest("large", 1, &vec![1; 2 << 20])).err().unwrap();
    assert!(matches!(refused, StoreError::Full(_)) && refused.to_string().starts_with("no space left"), "{refused}");
    assert_eq!(files_in(&disk.path().join("tmp")).unwrap().len(), 0);
    keep(&store, "small", 1, b"fits").unwrap();
    assert_eq!(bytes_of(&store, "small"), b"fits");
}

#[test]
fn a_full_disk_lets_go_of_what_is_forgotten() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = Store::open(disk.path(), None).unwrap();
    let name = |number: usize| number.to_string();
    let bytes = |number: usize| vec![number as u8; 20_000];
    let fitted = (0..200).take_while(|number| keep(&store, &name(*number), 1, &bytes(*number)).is_ok()).count();
    assert!((1..200).contains(&fitted), "{fitted}");
    fs::write(disk.path().join("the rest"), vec![1; 2 << 20]).unwrap_err();
    assert!(matches!(keep(&store, "more", 1, b"does not fit"), Err(StoreError::Full(_))));
    store.forget(&manifest(&name(0), 1, &bytes(0))).unwrap();
    keep(&store, "more", 1, b"fits now").unwrap();
    let before = store.held();
    assert_eq!(before.len(), fitted);
    drop(store);
    assert_eq!(Store::open(disk.path(), None).unwrap().held(), before);
}

#[test]
fn an_index_that_found_no_room_goes_on_when_there_is_some() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = Store::open(disk.path(), None).unwrap();
    let rest = disk.path().join("the rest");
    fs::write(&rest, vec![1; 2 << 20]).unwrap_err();
    // Of no bytes: only the index grows.
    let removal = |number: usize| of_content(&format!("{number:0>200}"), 1, Content::REMOVED);
    let adopt = |number| store.adopt(&removal(number), None, true);
    let (last, refused) = (0..10_000).map(|number| (number, adopt(number))).find(|(_, kept)| kept.is_err()).unwrap();
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    assert_eq!(store.held().len(), last);
    fs::remove_file(rest).unwrap();
    assert_eq!(adopt(last), Ok(true));
    let before = store.held();
    drop(store);
    assert_eq!(Store::open(disk.path(), None).unwrap().held(), before);
}

#[test]
fn a_length_no_disk_can_hold_is_refused() {
    let dir = tempdir().unwrap();
    let mut wanted = manifest("4103", 1, b"");
    wanted.content.len_bytes = i64::MAX as u64;
    let store = open(&dir);
    assert!(matches!(store.begin(&wanted), Err(StoreError::Full(_))));
    assert_eq!(files(&dir), [0, 0]);
}
