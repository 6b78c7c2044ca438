use super::header::{HEADER_BYTES, OpenedBy, checksum};
use super::stretch::Cost;
use super::*;
use crate::ground::FileName;
use proptest::prelude::*;
use std::fs;
use std::io::Cursor;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::tempdir;

/// The least that argon2 takes.
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

fn passphrase(text: &str) -> SealKey {
    SealKey::passphrase_at(CHEAP, CHEAP, text.to_owned()).unwrap()
}

/// The key of a key file.
fn file_key(byte: u8) -> SealKey {
    SealKey::from_bytes(Zeroizing::new([byte; 32]))
}

/// Bytes in which each chunk is another one.
fn plain(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 % 251) as u8).collect()
}

fn sealed(plain: &[u8], key: &SealKey) -> Vec<u8> {
    let mut sealed = Vec::new();
    let written = seal(&mut Cursor::new(plain), &mut sealed, key).unwrap();
    assert_eq!(written, sealed.len() as u64);
    sealed
}

fn unseal(sealed: &[u8], key: &SealKey) -> Result<Vec<u8>, SealError> {
    let mut plain = Vec::new();
    let mut unsealed = Unsealed::open(Cursor::new(sealed), key)?;
    let len_bytes = unsealed.copy_to(&mut plain)?;
    assert_eq!([len_bytes, unsealed.len_bytes()], [plain.len() as u64; 2]);
    Ok(plain)
}

/// Where a chunk lies in a sealed file.
fn place_of(chunk: usize) -> Range<usize> {
    let start = HEADER_BYTES + chunk * SEALED_CHUNK_BYTES;
    start..start + SEALED_CHUNK_BYTES
}

/// The chunk in which the damage is noticed.
fn damaged_chunk(sealed: &[u8]) -> u64 {
    match unseal(sealed, &file_key(1)) {
        Err(SealError::Damaged { chunk }) => chunk,
        other => panic!("{other:?}"),
    }
}

/// The header, with a fitting checksum.
fn forged(mut sealed: Vec<u8>) -> Vec<u8> {
    let at = HEADER_BYTES - 8;
    let sum = checksum(&sealed[..at]);
    sealed[at..HEADER_BYTES].copy_from_slice(&sum);
    sealed
}

#[test]
fn files_of_any_length_come_back_and_are_as_long_as_said() {
    for len in [0, 1, 65_535, 65_536, 65_537, 2 * 65_536, 300_000] {
        for key in [file_key(1), passphrase("a")] {
            let sealed = sealed(&plain(len), &key);
            let chunks = len.div_ceil(65_536).max(1);
            assert_eq!(sealed.len(), 99 + len + 16 * chunks);
            assert!(unseal(&sealed, &key).unwrap() == plain(len), "{len}");
        }
    }
}

#[test]
fn a_source_that_gives_little_at_a_time_is_sealed_whole() {
    struct Dribble(Cursor<Vec<u8>>, bool);
    impl Read for Dribble {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            let most = buf.len().min(999);
            if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(&mut buf[..most]) }
        }
    }
    let mut bytes = Vec::new();
    seal(&mut Dribble(Cursor::new(plain(200_000)), false), &mut bytes, &file_key(1)).unwrap();
    assert!(unseal(&bytes, &file_key(1)).unwrap() == plain(200_000));
}

#[test]
fn nothing_of_the_file_shows_and_no_two_seals_are_alike() {
    let text = b"the same line again and again\n".repeat(100);
    let [one, other] = [(); 2].map(|()| sealed(&text, &file_key(1)));
    assert!(!one.windows(8).any(|window| text.windows(8).any(|plain| plain == window)));
    let same = one[24..].windows(8).filter(|window| other[24..].windows(8).any(|other| other == *window));
    assert_eq!(same.count(), 0, "only what stands before the salt may be alike");
}

proptest! {
    #[test]
    fn any_range_is_that_of_the_plain_file(offset in 0..210_000usize, len in 0..210_000usize) {
        static SEALED: OnceLock<Vec<u8>> = OnceLock::new();
        let sealed = SEALED.get_or_init(|| sealed(&plain(200_000), &file_key(1)));
        let mut unsealed = Unsealed::open(Cursor::new(sealed), &file_key(1)).unwrap();
        let mut buf = vec![0; len];
        let got = unsealed.read_at(offset as u64, &mut buf).unwrap();
        let plain = plain(200_000);
        let range = offset.min(plain.len())..(offset + len).min(plain.len()).max(offset.min(plain.len()));
        prop_assert!(buf[..got] == plain[range]);
    }
}

#[test]
fn what_lies_beyond_the_end_is_nothing() {
    let bytes = sealed(b"abc", &file_key(1));
    let mut unsealed = Unsealed::open(Cursor::new(bytes), &file_key(1)).unwrap();
    let mut buf = [0; 5];
    assert_eq!(unsealed.read_at(1, &mut buf).unwrap(), 2);
    assert_eq!(&buf[..2], b"bc");
    assert_eq!([3, u64::MAX].map(|offset| unsealed.read_at(offset, &mut buf).unwrap()), [0, 0]);
}

#[test]
fn a_range_reads_only_its_own_chunks() {
    struct Watched(Cursor<Vec<u8>>, Vec<Range<u64>>);
    impl Read for Watched {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let from = self.0.position();
            let got = self.0.read(buf)?;
            self.1.push(from..self.0.position());
            Ok(got)
        }
    }
    impl Seek for Watched {
        fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let bytes = sealed(&plain(10 * CHUNK_BYTES), &file_key(1));
    let mut file = Watched(Cursor::new(bytes), Vec::new());
    let mut unsealed = Unsealed::open(&mut file, &file_key(1)).unwrap();
    unsealed.read_at(3 * CHUNK_BYTES as u64 - 1, &mut [0; 2]).unwrap();
    unsealed.read_at(3 * CHUNK_BYTES as u64 + 1, &mut [0; 2]).unwrap();
    let chunk = |number| place_of(number).start as u64..place_of(number).end as u64;
    file.1.retain(|range| !range.is_empty());
    assert_eq!(file.1, [0..HEADER_BYTES as u64, chunk(9), chunk(2), chunk(3)]);
}

#[test]
fn each_flipped_bit_is_noticed_and_none_taken_for_a_wrong_passphrase() {
    let key = passphrase("a");
    let sealed = sealed(b"abc", &key);
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match (bit / 8, unseal(&flipped, &key).unwrap_err()) {
            (..10, SealError::NotSealed) | (10, SealError::Later | SealError::Header) => {}
            (11..HEADER_BYTES, SealError::Header) | (HEADER_BYTES.., SealError::Damaged { chunk: 0 }) => {}
            (byte, error) => panic!("byte {byte}: {error}"),
        }
    }
}

#[test]
fn a_header_that_is_changed_with_care_does_not_open_either() {
    for key in [file_key(1), passphrase("a")] {
        let sealed = sealed(b"abc", &key);
        // All but the memory, of which a test should not take much: magic and version are above.
        for bit in (11 * 8..12 * 8).chain(16 * 8..(HEADER_BYTES - 8) * 8) {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&forged(flipped), &key).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn a_file_cut_off_anywhere_is_noticed() {
    let small = sealed(b"abc", &file_key(1));
    for len in 0..small.len() {
        match (len, unseal(&small[..len], &file_key(1)).unwrap_err()) {
            (..10, SealError::NotSealed) | (10..HEADER_BYTES, SealError::Header) => {}
            (HEADER_BYTES.., SealError::Damaged { chunk: 0 }) => {}
            (_, error) => panic!("{len} bytes: {error}"),
        }
    }
    let large = sealed(&plain(3 * CHUNK_BYTES), &file_key(1));
    let near_the_borders = (0..3).flat_map(|chunk| place_of(chunk).start..place_of(chunk).start + 40);
    for len in near_the_borders.chain((HEADER_BYTES..large.len()).step_by(997)) {
        let cut_in = (len - HEADER_BYTES).div_ceil(SEALED_CHUNK_BYTES).saturating_sub(1);
        assert_eq!(damaged_chunk(&large[..len]), cut_in as u64, "{len} bytes");
    }
}

#[test]
fn bytes_behind_the_end_are_noticed() {
    for len in [0, 3, CHUNK_BYTES] {
        let sealed = sealed(&plain(len), &file_key(1));
        for more in [1, 15, 16, 17, SEALED_CHUNK_BYTES] {
            damaged_chunk(&[&*sealed, &vec![0; more]].concat());
        }
        // The last chunk once more.
        damaged_chunk(&[&*sealed, &sealed[HEADER_BYTES..]].concat());
    }
}

#[test]
fn chunks_exchanged_left_out_or_of_another_file_are_noticed_where_they_are() {
    let whole = sealed(&plain(4 * CHUNK_BYTES), &file_key(1));
    let exchanged = |one, other| {
        let mut bytes = whole.clone();
        bytes[place_of(one)].copy_from_slice(&whole[place_of(other)]);
        bytes[place_of(other)].copy_from_slice(&whole[place_of(one)]);
        bytes
    };
    assert_eq!(damaged_chunk(&exchanged(1, 2)), 1);
    assert_eq!(damaged_chunk(&exchanged(0, 3)), 3, "the last chunk is opened first");
    assert_eq!(damaged_chunk(&[&whole[..place_of(1).start], &whole[place_of(2).start..]].concat()), 2);

    let mut foreign = whole.clone();
    foreign[place_of(2)].copy_from_slice(&sealed(&plain(4 * CHUNK_BYTES), &file_key(1))[place_of(2)]);
    assert_eq!(damaged_chunk(&foreign), 2);
    let mut unsealed = Unsealed::open(Cursor::new(foreign), &file_key(1)).unwrap();
    unsealed.read_at(2 * CHUNK_BYTES as u64, &mut [0]).unwrap_err();
    let mut buf = vec![0; 2 * CHUNK_BYTES];
    assert_eq!(unsealed.read_at(0, &mut buf).unwrap(), buf.len());
    assert!(buf == plain(buf.len()), "what is whole is still to be had");
}

#[test]
fn an_empty_chunk_behind_a_full_one_is_no_end() {
    let key = file_key(1);
    let header = Header::draw(key.opened_by()).unwrap();
    let keys = header.keys(&key).unwrap();
    let cipher = ChunkCipher::new(&keys.chunks, header.nonce_prefix);
    let (mut full, mut empty) = (plain(CHUNK_BYTES), Vec::new());
    cipher.seal(0, false, &mut full).unwrap();
    cipher.seal(1, true, &mut empty).unwrap();
    assert_eq!(damaged_chunk(&[header.encode(&keys.check), full, empty].concat()), 1);
}

#[test]
fn more_chunks_than_the_nonce_can_number_are_refused() {
    let cipher = ChunkCipher::new(&Secret::default(), [0; NONCE_PREFIX_BYTES]);
    assert!(cipher.seal(u64::from(u32::MAX), true, &mut vec![1]).is_ok());
    assert!(matches!(cipher.seal(1 << 32, true, &mut vec![1]), Err(SealError::TooLong)));
}

#[test]
fn a_wrong_key_is_told_from_damage() {
    let bytes = sealed(b"abc", &passphrase("right"));
    assert!(matches!(unseal(&bytes, &passphrase("wrong")), Err(SealError::WrongPassphrase)));
    assert!(matches!(unseal(&bytes, &file_key(1)), Err(SealError::NeedsPassphrase)));
    let bytes = sealed(b"abc", &file_key(1));
    assert!(matches!(unseal(&bytes, &file_key(2)), Err(SealError::WrongKeyFile)));
    assert!(matches!(unseal(&bytes, &passphrase("right")), Err(SealError::NeedsKeyFile)));
    for (text, fits) in [("", false), ("x", true), (&*"x".repeat(1024), true), (&*"x".repeat(1025), false)] {
        assert_eq!(SealKey::passphrase(text.to_owned()).is_ok(), fits, "{} bytes", text.len());
    }
}

#[test]
fn a_header_that_demands_too_much_is_refused_before_it_gets_it() {
    let key = passphrase("a");
    let good = sealed(b"abc", &key);
    let demanding = |memory_kib: u32, passes: u32, lanes: u32| {
        let mut bytes = good.clone();
        bytes[12..24].copy_from_slice([memory_kib, passes, lanes].map(u32::to_le_bytes).as_flattened());
        unseal(&forged(bytes), &key).unwrap_err()
    };
    for (memory_kib, passes, lanes) in [(MAX_MEMORY_KIB + 1, 1, 1), (8, MAX_PASSES + 1, 1), (4096, 1, 17)] {
        let error = demanding(memory_kib, passes, lanes);
        assert!(matches!(error, SealError::TooCostly { .. }), "{error}");
    }
    assert!(matches!(demanding(u32::MAX, u32::MAX, u32::MAX), SealError::TooCostly { .. }));
    for (memory_kib, passes, lanes) in [(7, 1, 1), (8, 0, 1), (8, 1, 0), (8, 1, 2), (0, 0, 0)] {
        let error = demanding(memory_kib, passes, lanes);
        assert!(matches!(error, SealError::Header), "{error}");
    }
    assert!(matches!(demanding(8, MAX_PASSES, 1), SealError::WrongPassphrase), "granted, and another key");
}

#[test]
fn a_later_version_is_told_from_damage() {
    let mut bytes = sealed(b"abc", &file_key(1));
    bytes[10] = 2;
    assert!(matches!(unseal(&bytes, &file_key(1)), Err(SealError::Later)));
    assert!(is_sealed(&mut Cursor::new(bytes)).unwrap());
}

#[test]
fn sealed_files_are_known_by_how_they_begin() {
    let mut file = Cursor::new(sealed(b"", &file_key(1)));
    file.set_position(50);
    assert!(is_sealed(&mut file).unwrap());
    assert_eq!(file.position(), 0);
    for text in [&b""[..], b"p2p seale", b"p2p memory 1\n", b"P2P sealed", b"\0p2p sealed"] {
        assert!(!is_sealed(&mut Cursor::new(text)).unwrap());
    }
}

#[test]
fn errors_of_source_and_sink_say_which_it_was() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    assert!(matches!(seal(&mut Broken, &mut Vec::new(), &file_key(1)), Err(SealError::Source(_))));
    let mut small = [0; 200];
    assert!(matches!(seal(&mut Cursor::new(plain(300)), &mut &mut small[..], &file_key(1)), Err(SealError::Sink(_))));
    let bytes = sealed(&plain(300), &file_key(1));
    let mut unsealed = Unsealed::open(Cursor::new(bytes), &file_key(1)).unwrap();
    assert!(matches!(unsealed.copy_to(&mut &mut small[..]), Err(SealError::Sink(_))));
}

#[test]
fn a_key_file_is_made_once_for_its_owner_and_never_overwritten() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("key");
    let made = SealKey::generate_key_file(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!((text.len(), text.trim().len()), (65, 64));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    assert!(matches!(SealKey::generate_key_file(&path), Err(SealError::KeyFileExists(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let read = SealKey::from_key_file(&path).unwrap();
    assert_eq!(unseal(&sealed(b"abc", &made), &read).unwrap(), b"abc");

    let other = SealKey::generate_key_file(&dir.path().join("other")).unwrap();
    assert!(matches!(unseal(&sealed(b"abc", &made), &other), Err(SealError::WrongKeyFile)));
    let nowhere = SealKey::generate_key_file(&dir.path().join("none/key")).unwrap_err().to_string();
    assert!(nowhere.ends_with("none/key: no such file or directory"), "{nowhere}");
}

#[test]
fn a_key_file_may_have_space_around_its_digits_and_nothing_else() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("key");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        SealKey::from_key_file(&path)
    };
    let bytes = sealed(b"abc", &file_key(0xab));
    for text in ["ab".repeat(32), format!(" {}\r\n\n", "AB".repeat(32))] {
        assert_eq!(unseal(&bytes, &read(&text).unwrap()).unwrap(), b"abc");
    }
    let long = format!("{}{}", "ab".repeat(32), " ".repeat(100));
    for text in ["", "\n", &"ab".repeat(31), &"ab".repeat(33), &"xy".repeat(32), &long] {
        assert!(matches!(read(text), Err(SealError::BadKeyFile(_))), "{text:?}");
    }
    assert!(matches!(SealKey::from_key_file(dir.path()), Err(SealError::KeyFile(_))));
    assert!(matches!(SealKey::from_key_file(Path::new("/dev/zero")), Err(SealError::BadKeyFile(_))));
}

#[test]
fn hidden_names_differ_by_key_and_name_and_are_always_the_same() {
    let name = |text: &str| FileName::parse(text).unwrap();
    let keys = [file_key(1), file_key(2), passphrase("a"), passphrase("b")];
    let names: Vec<FileName> = keys
        .iter()
        .flat_map(|key| ["4103.pdf", "4104.pdf"].map(|text| key.hidden_name(&name(text)).unwrap()))
        .collect();
    for (at, hidden) in names.iter().enumerate() {
        let digits = hidden.as_str().strip_prefix("sealed-").unwrap();
        assert!(digits.len() == 40 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert!(!names[..at].contains(hidden));
    }
    assert_eq!(passphrase("b").hidden_name(&name("4104.pdf")).unwrap(), names[7]);
}

#[test]
fn secrets_are_not_printed() {
    let key = SealKey::passphrase("swordfish".to_owned()).unwrap();
    assert_eq!(format!("{key:?} {:?}", file_key(0x2a)), "SealKey(a passphrase) SealKey(a key file)");
}

#[test]
fn people_pay_the_usual_price() {
    let key = SealKey::passphrase("a".to_owned()).unwrap();
    assert_eq!(key.opened_by(), OpenedBy::Passphrase(Cost::USUAL));
    assert!(Cost::USUAL.check().is_ok() && Cost::OF_NAMES.check().is_ok());
}

/// What another program made of the description in `mod.rs`: Python with the packages argon2-cffi (the C of the authors),
/// PyNaCl (libsodium's XChaCha20-Poly1305) and blake3, with the salt 00 01 … 0f and the nonce prefix 64 65 … 76.
mod made_elsewhere {
    use super::*;

    /// "kept for a friend\n" under 64 KiB, 2 passes and 2 lanes:
    /// ```python
    /// root = hash_secret_raw(passphrase, salt, time_cost=2, memory_cost=64, parallelism=2, hash_len=32, type=Type.ID)
    /// fields = b"p2p sealed" + bytes([1, 1]) + struct.pack("<III", 64, 2, 2) + salt + prefix
    /// derive = lambda context: blake3(root + fields, derive_key_context=context).digest()
    /// head = fields + derive("p2p sealed 1: key check")
    /// head += blake3(head).digest()[:8]
    /// nonce = prefix + struct.pack(">I", 0) + bytes([1])
    /// chunk = crypto_aead_xchacha20poly1305_ietf_encrypt(text, None, nonce, derive("p2p sealed 1: key of the chunks"))
    /// ```
    const SEALED: &str = concat!(
        "703270207365616c65640101400000000200000002000000000102030405060708090a0b0c0d0e0f6465666768696a6b6c6d",
        "6e6f70717273747576da056a62c9a46cb837efc5f127cbdba5cd118dda98b012001c6775d2e6d477c1e9ce0821bae5acf465",
        "098389885630288c3329c4e6ff708365a98df65ebe66480ac9ee18fe8b67a7afa8",
    );
    const PASSPHRASE: &str = "correct horse, käse";

    fn from_hex(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// The key c8 c9 … e7.
    fn key() -> SealKey {
        SealKey::from_bytes(Zeroizing::new(std::array::from_fn(|at| 200 + at as u8)))
    }

    fn header(opened_by: OpenedBy) -> Header {
        let (salt, nonce_prefix) = (std::array::from_fn(|at| at as u8), std::array::from_fn(|at| 100 + at as u8));
        Header { opened_by, salt, nonce_prefix }
    }

    #[test]
    fn a_file_sealed_elsewhere_opens_here_and_is_sealed_alike() {
        let text = b"kept for a friend\n";
        assert_eq!(unseal(&from_hex(SEALED), &passphrase(PASSPHRASE)).unwrap(), text);
        let mut bytes = Vec::new();
        let header = header(OpenedBy::Passphrase(Cost { memory_kib: 64, passes: 2, lanes: 2 }));
        seal_under(&header, &mut &text[..], &mut bytes, &passphrase(PASSPHRASE)).unwrap();
        assert_eq!(bytes, from_hex(SEALED));
    }

    #[test]
    fn three_chunks_and_none_are_sealed_as_elsewhere() {
        for (len, hash) in [
            (150_000, "3123f5dab931f5b2758b5846ddb607a9c63fcab96b1ff2e271f162edc380d383"),
            (0, "1e5daf438ca3640a4759c51fb131c2aa06c61012f976128d379464cd7cbe6fc8"),
        ] {
            let mut bytes = Vec::new();
            seal_under(&header(OpenedBy::KeyFile), &mut &*plain(len), &mut bytes, &key()).unwrap();
            assert_eq!(blake3::hash(&bytes).to_hex().as_str(), hash);
        }
    }

    /// ```python
    /// root = hash_secret_raw(passphrase, b"p2p hidden names", 3, 256 << 10, 4, 32, Type.ID)   # or the key
    /// name_key = blake3(root, derive_key_context="p2p sealed 1: hidden names").digest()
    /// "sealed-" + blake3(b"4103.pdf", key=name_key).digest()[:20].hex()
    /// ```
    #[test]
    fn hidden_names_are_those_made_elsewhere() {
        let name = FileName::parse("4103.pdf").unwrap();
        assert_eq!(key().hidden_name(&name).unwrap().as_str(), "sealed-e901b1a1839454ac6bcb39d8344b6c03c072b4fb");
        // The one test at the real price: these names must stay for ever.
        let key = SealKey::passphrase(PASSPHRASE.to_owned()).unwrap();
        assert_eq!(key.hidden_name(&name).unwrap().as_str(), "sealed-0afbe769d400579f6045d2f302f8c832483136d4");
    }
}
