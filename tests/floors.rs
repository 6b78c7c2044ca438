//! The table of floors: who may use whom. What a floor does not know is part of the architecture.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

struct Floor {
    name: &'static str,
    /// Other floors it may use.
    uses: &'static [&'static str],
    /// Crates it may use, apart from `std`.
    crates: &'static [&'static str],
    /// It may touch sockets, clock, disk, threads, the terminal.
    touches_the_world: bool,
}

const FLOORS: [Floor; 9] = [
    Floor {
        name: "ground",
        uses: &[],
        crates: &["crc", "ed25519_dalek", "rand", "rand_chacha", "sha1", "sha2", "thiserror"],
        touches_the_world: false,
    },
    Floor { name: "overlay", uses: &["ground"], crates: &[], touches_the_world: false },
    Floor { name: "peer", uses: &["ground", "overlay"], crates: &["thiserror"], touches_the_world: false },
    Floor { name: "sim", uses: &["ground", "overlay", "peer"], crates: &["thiserror"], touches_the_world: false },
    Floor {
        name: "store",
        uses: &["ground"],
        crates: &["argon2", "blake3", "chacha20poly1305", "redb", "rustix", "thiserror", "zeroize"],
        touches_the_world: true,
    },
    Floor {
        name: "transfer",
        uses: &["ground", "store"],
        crates: &["blake3", "rustix", "thiserror"],
        touches_the_world: true,
    },
    Floor {
        name: "live",
        uses: &["ground", "overlay", "peer", "store", "transfer"],
        crates: &["blake3", "nix", "thiserror", "tokio"],
        touches_the_world: true,
    },
    Floor {
        name: "web",
        uses: &["ground", "peer", "live"],
        crates: &[
            "axum",
            "http_body_util",
            "hyper",
            "hyper_util",
            "rustix",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
        ],
        touches_the_world: true,
    },
    Floor {
        name: "cli",
        uses: &["ground", "peer", "live", "sim", "store", "web"],
        crates: &[
            "clap",
            "csv",
            "clap_complete",
            "clap_mangen",
            "ctrlc",
            "http_body_util",
            "hyper",
            "hyper_util",
            "indicatif",
            "jiff",
            "plotters",
            "rustix",
            "rustyline",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "toml",
        ],
        touches_the_world: true,
    },
];

/// What only floors that touch the world may name.
const WORLD: [&str; 12] = [
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::fs",
    "std::io",
    "std::thread",
    "std::env",
    "std::process",
    "Instant",
    "SystemTime",
    "HashMap",
    "println!",
];

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The code of a floor, without its tests and comments.
fn code_of(floor: &str) -> Vec<(PathBuf, String)> {
    let files = rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(floor));
    let product = files.into_iter().filter(|path| path.file_name().is_none_or(|name| name != "tests.rs"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (path, code.join("\n"))
    };
    product.map(read).collect()
}

/// The first segments of all paths in `use` declarations, and of paths written out as `crate::…`.
fn used(code: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let floors = code.match_indices("crate::").map(|(at, _)| word(&code[at + 7..])).collect();
    let mut crates = BTreeSet::new();
    for line in code.lines().map(str::trim_start) {
        if let Some(path) = line.strip_prefix("use ").or_else(|| line.strip_prefix("pub use ")) {
            crates.insert(word(path));
        }
    }
    (floors, crates)
}

/// The code has a path that begins with this crate.
fn mentions(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    code.match_indices(&path).any(|(at, _)| begins(at))
}

#[test]
fn each_floor_uses_only_those_below_it() {
    for floor in &FLOORS {
        for (path, code) in code_of(floor.name) {
            for other in used(&code).0 {
                let allowed = other == floor.name || floor.uses.contains(&other.as_str());
                assert!(allowed, "{} uses the floor {other}", path.display());
            }
        }
    }
}

#[test]
fn each_floor_uses_only_the_crates_it_may() {
    let known: BTreeSet<&str> = FLOORS.iter().flat_map(|floor| floor.crates.iter().copied()).collect();
    for floor in &FLOORS {
        for (path, code) in code_of(floor.name) {
            let mentioned = used(&code)
                .1
                .into_iter()
                .chain(known.iter().filter(|name| mentions(&code, name)).map(|name| (*name).to_owned()));
            for name in mentioned.filter(|name| known.contains(name.as_str())) {
                assert!(floor.crates.contains(&name.as_str()), "{} uses the crate {name}", path.display());
            }
        }
    }
}

#[test]
fn pure_floors_do_not_touch_the_world() {
    for floor in FLOORS.iter().filter(|floor| !floor.touches_the_world) {
        for (path, code) in code_of(floor.name) {
            for word in WORLD {
                assert!(!code.contains(word), "{} mentions {word}", path.display());
            }
        }
    }
}

#[test]
fn the_table_names_every_floor() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folders = fs::read_dir(source).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(FLOORS.iter().any(|floor| floor.name == name), "{name} is not in the table");
    }
}

#[test]
fn no_file_grows_past_its_second_idea() {
    for floor in &FLOORS {
        for (path, code) in code_of(floor.name) {
            let lines = code.lines().count();
            assert!(lines <= 400, "{} has {lines} lines of code: what is the second idea in it?", path.display());
        }
    }
}
