//! What is written and read: images and strings, the same for the same seed.

use crate::ground::Chance;
use crate::web::schema::{Code, Trouble};
use std::fs;
use std::path::{Path, PathBuf};

/// Names and sizes of the images, as published; a MB is a million bytes.
const IMAGES: [(&str, usize); 7] = [
    ("1_24kb.jpeg", 24_000),
    ("2_360kb.jpeg", 360_000),
    ("3_2mb.jpeg", 2_000_000),
    ("4_10mb.jpeg", 10_000_000),
    ("5_15mb.png", 15_000_000),
    ("6_18mb.png", 18_000_000),
    ("7_19mb.png", 19_000_000),
];

/// How many strings there are.
const STRINGS: usize = 200;

/// By how many words each is longer than the one before.
const WORDS_A_STEP: usize = 5;

/// Of how many images and strings, and by how much smaller ones, a quick run makes do. Guess: seconds in all.
const QUICK: (usize, usize, usize) = (4, 20, 10);

/// Most bytes of somebody's own picture: what any of the networks takes in a minute. Guess.
const MOST_IMAGE_BYTES: u64 = 256 << 20;

const WORDS: &str = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et \
    dolore magna aliqua ut enim ad minim veniam quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo \
    consequat duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla pariatur \
    excepteur sint occaecat cupidatat non proident sunt in culpa qui officia deserunt mollit anim id est laborum";

/// An image: a file with a name.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name in the network.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub len_bytes: usize,
}

/// A string with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// `lorem_0`, `lorem_5`, …
    pub key: String,
    /// Its words.
    pub value: String,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Material {
    /// The images, the smallest first.
    pub images: Vec<Image>,
    /// The strings, the shortest first.
    pub texts: Vec<Text>,
}

impl Material {
    /// Made in a folder; or with the pictures of another folder.
    pub fn make(folder: &Path, seed: u64, quick: bool, pictures: Option<&Path>) -> Result<Material, Trouble> {
        let images = match pictures {
            Some(pictures) => found(pictures)?,
            None => made(folder, seed, quick)?,
        };
        Ok(Material { images, texts: texts(if quick { QUICK.1 } else { STRINGS }) })
    }
}

fn made(folder: &Path, seed: u64, quick: bool) -> Result<Vec<Image>, Trouble> {
    let mut chance = Chance::seeded(seed);
    let (count, smaller) = if quick { (QUICK.0, QUICK.2) } else { (IMAGES.len(), 1) };
    let make = |(name, len_bytes): &(&str, usize)| {
        let (path, len_bytes) = (folder.join(name), len_bytes / smaller);
        let bytes: Vec<u8> = (0..len_bytes.div_ceil(8)).flat_map(|_| chance.bits().to_le_bytes()).collect();
        fs::write(&path, &bytes[..len_bytes]).map_err(|error| unwritten(&path, &error))?;
        Ok(Image { name: (*name).to_owned(), path, len_bytes })
    };
    IMAGES[..count].iter().map(make).collect()
}

fn found(folder: &Path) -> Result<Vec<Image>, Trouble> {
    let unread = |error| Trouble::new(Code::Failed, format!("cannot read the folder {}: {error}", folder.display()));
    let mut images = Vec::new();
    for entry in fs::read_dir(folder).map_err(unread)?.flatten() {
        let about = entry.metadata().map_err(unread)?;
        if let (true, Ok(name)) = (about.is_file(), entry.file_name().into_string()) {
            if about.len() > MOST_IMAGE_BYTES {
                return Err(Trouble::new(Code::Refused, format!("{name} is larger than {MOST_IMAGE_BYTES} bytes")));
            }
            let path = fs::canonicalize(entry.path()).map_err(unread)?;
            images.push(Image { name, path, len_bytes: usize::try_from(about.len()).expect("checked just above") });
        }
    }
    if images.is_empty() {
        return Err(Trouble::new(Code::Failed, format!("there are no pictures in {}", folder.display())));
    }
    images.sort_by_key(|image| image.len_bytes);
    Ok(images)
}

fn texts(count: usize) -> Vec<Text> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let text = |at: usize| {
        let value: Vec<&str> = words.iter().copied().cycle().take((at + 1) * WORDS_A_STEP).collect();
        Text { key: format!("lorem_{}", at * WORDS_A_STEP), value: value.join(" ") }
    };
    (0..count).map(text).collect()
}

fn unwritten(path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::new(Code::Failed, format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_strings_grow_by_five_words_each() {
        let texts = texts(STRINGS);
        assert_eq!(texts[0], Text { key: "lorem_0".into(), value: "lorem ipsum dolor sit amet".into() });
        assert_eq!(texts[199].key, "lorem_995");
        for (at, text) in texts.iter().enumerate() {
            assert_eq!(text.value.split(' ').count(), 5 * (at + 1));
        }
        assert!(texts[199].value.len() <= 8000, "the original keeps no more in a value");
    }

    #[test]
    fn the_same_seed_makes_the_same_images() {
        let folders = [1, 1, 2].map(|seed| {
            let folder = tempfile::tempdir().unwrap();
            let images = made(folder.path(), seed, true).unwrap();
            assert_eq!(
                images.iter().map(|image| image.len_bytes).collect::<Vec<_>>(),
                [2400, 36_000, 200_000, 1_000_000]
            );
            fs::read(&images[0].path).unwrap()
        });
        assert!(folders[0] == folders[1] && folders[0] != folders[2]);
    }

    #[test]
    fn a_folder_without_pictures_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(found(folder.path()).unwrap_err().message.starts_with("there are no pictures"));
        fs::write(folder.path().join("mine.png"), "x").unwrap();
        assert_eq!(found(folder.path()).unwrap()[0].name, "mine.png");
    }
}
