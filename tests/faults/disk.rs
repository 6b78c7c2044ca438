//! A disk that can lose its power: ext4 in a file, whose copy is what a machine finds that starts again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// So much that the file system has a journal and the tests' files fit several times.
const LEN_BYTES: u64 = 64 << 20;

/// A mounted file system; unmounted, and its loop device let go, when it is dropped.
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// Makes and mounts one in `folder`. None, and a word about it, where we may not.
    pub fn make(folder: &Path) -> Option<Disk> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root may mount a disk");
            return None;
        }
        let image = folder.join("image");
        File::create(&image).unwrap().set_len(LEN_BYTES).unwrap();
        let made = run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
        let mounted = made.and_then(|()| Disk::mount(&image, &folder.join("disk")));
        mounted.inspect_err(|error| eprintln!("skipped: {error}")).ok()
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// The disk as it would be found if the power failed now: without all that nobody waited for (fsync). Put into
    /// `folder`; this one goes on.
    pub fn after_power_cut(&self, folder: &Path) -> Disk {
        let image = folder.join("image");
        run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&image)).unwrap();
        Disk::mount(&image, &folder.join("disk")).unwrap()
    }

    /// Nothing reaches the image by itself while a test runs: the file system commits every 10 minutes.
    fn mount(image: &Path, at: &Path) -> Result<Disk, String> {
        fs::create_dir_all(at).unwrap();
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop,commit=600"]).arg(image).arg(at))?;
        Ok(Disk { image: image.to_owned(), at: at.to_owned() })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if run(Command::new("umount").arg(&self.at)).is_err() {
            // Somebody who is being killed still has a file open there.
            let _ = run(Command::new("umount").arg("-l").arg(&self.at));
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stderr, .. } = command.output().map_err(|error| format!("{name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {}", String::from_utf8_lossy(&stderr).trim())) }
}
