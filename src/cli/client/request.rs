//! `p2p request`: the file arrives under a passing name, and is unsealed on the way to where it is wanted.

use super::link::Link;
use super::passing::Passing;
use super::store::check_space;
use super::{absolute, failed, keys, name_of, show};
use crate::cli::args::client::{Asking, Request};
use crate::ground::FileName;
use crate::live::Folders;
use crate::store::seal::{SealError, SealKey, Unsealed, is_sealed};
use crate::web::schema::{Code, Object, Outcome, RequestWish, Trouble, Who};
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What the file is called while it arrives, and while it is unsealed.
const ARRIVING: &str = "arriving";
const UNSEALED: &str = "unsealed";

/// Brings a file here.
pub fn request(request: &Request, link: impl Fn(&Asking) -> Result<Link, Trouble>) -> Result<Outcome, Trouble> {
    let name = name_of(&request.name)?;
    let mut key = keys::given(&request.key)?;
    if key.is_none() && request.hide_name {
        key = Some(keys::asked(false)?);
    }
    let target = Target::of(request.output.as_deref(), &name)?;
    let passing = target.passing()?;
    let link = link(&request.asking)?;

    let arriving = passing.file(ARRIVING);
    let hidden = key.as_ref().filter(|_| request.hide_name).map(|key| key.hidden_name(&name));
    let wire_name = hidden.transpose().map_err(keys::trouble)?.unwrap_or_else(|| name.clone());
    let path = arriving.to_str().ok_or_else(|| Trouble::new(Code::Refused, "this folder's path is no text"))?;
    let wish = RequestWish { name: wire_name.to_string(), version: request.version, path: path.to_owned() };
    let mut from = None;
    let outcome = link.post("/v1/request", &wish, |line| match line.object {
        // Told when it is where it is wanted.
        Some(Object::Fetched { from: holder, .. }) => from = Some(holder.clone()),
        _ => link.show(&line, |_| Vec::new()),
    })?;

    let mut file = File::open(&arriving).map_err(|error| failed(format!("what arrived cannot be read: {error}")))?;
    let key = opening_key(request, key, &mut file)?;
    let len_bytes = target.deliver(&passing, file, key.as_ref())?;
    if let Some(from) = from {
        tell(&link, &name, &target, &from, len_bytes);
    }
    Ok(outcome)
}

/// Where the bytes are wanted.
enum Target {
    Output,
    File(PathBuf),
}

impl Target {
    /// Checked as far as that goes without the file.
    fn of(output: Option<&Path>, name: &FileName) -> Result<Target, Trouble> {
        let wanted = match output {
            Some(path) if path == Path::new("-") => return Ok(Target::Output),
            Some(path) if path.is_dir() => path.join(name.as_str()),
            Some(path) => path.to_owned(),
            // The port is for a peer's store, which we have none of.
            None => Folders::new(Path::new(""), 0).received(name),
        };
        let path = match fs::metadata(&wanted) {
            Ok(about) if !about.is_file() => {
                let message = format!("{} is there, and no file: choose another path", wanted.display());
                return Err(failed(message));
            }
            // What a link leads to is replaced, not the link.
            Ok(_) => fs::canonicalize(&wanted).map_err(failed)?,
            Err(_) => absolute(&wanted)?,
        };
        if path.file_name().is_none() || wanted.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(failed(format!("there is no folder {}", wanted.display())));
        }
        Ok(Target::File(path))
    }

    /// A private folder from which the file can be moved there. Fails where nothing can be written.
    fn passing(&self) -> Result<Passing, Trouble> {
        let folder = match self {
            Target::Output => env::temp_dir(),
            Target::File(path) => path.parent().expect("it has a name, so it is in a folder").to_owned(),
        };
        check_space(&folder, 1)?;
        let unmade = |error: io::Error| failed(format!("cannot write in {}: {error}", folder.display()));
        Passing::within(&folder).map_err(unmade)
    }

    /// Puts what arrived there, unsealed if there is a key. Returns its length.
    fn deliver(&self, passing: &Passing, mut file: File, key: Option<&SealKey>) -> Result<u64, Trouble> {
        match self {
            Target::Output => {
                // From here on it has no name that could stay behind.
                let _ = fs::remove_file(passing.file(ARRIVING));
                let mut output = io::stdout().lock();
                let copied = copy(&mut file, &mut output, key)?;
                output.flush().map_err(|error| keys::trouble(SealError::Sink(error)))?;
                Ok(copied)
            }
            Target::File(path) => {
                let whole = match key {
                    None => passing.file(ARRIVING),
                    Some(_) => unseal_into(passing.file(UNSEALED), &mut file, key)?,
                };
                let len_bytes = fs::metadata(&whole).map_err(failed)?.len();
                let misplaced = |error: io::Error| failed(format!("cannot write {}: {error}", path.display()));
                fs::rename(&whole, path).map_err(misplaced)?;
                Ok(len_bytes)
            }
        }
    }
}

fn unseal_into(path: PathBuf, file: &mut File, key: Option<&SealKey>) -> Result<PathBuf, Trouble> {
    let unmade = |error: io::Error| failed(format!("cannot write {}: {error}", path.display()));
    let sink = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(unmade)?;
    let mut sink = BufWriter::new(sink);
    copy(file, &mut sink, key)?;
    sink.into_inner().map_err(|error| unmade(error.into_error()))?.sync_all().map_err(unmade)?;
    Ok(path)
}

fn copy(file: &mut File, sink: &mut impl io::Write, key: Option<&SealKey>) -> Result<u64, Trouble> {
    match key {
        Some(key) => Unsealed::open(file, key).and_then(|mut unsealed| unsealed.copy_to(sink)).map_err(keys::trouble),
        None => io::copy(file, sink).map_err(failed),
    }
}

/// What opens the file: nothing where it is not sealed, or where it is wanted as it is.
fn opening_key(request: &Request, key: Option<SealKey>, file: &mut File) -> Result<Option<SealKey>, Trouble> {
    let unread = |error: io::Error| failed(format!("what arrived cannot be read: {error}"));
    match (is_sealed(file).map_err(unread)?, key) {
        (false, _) if request.decrypt => Err(keys::trouble(SealError::NotSealed).hint("request it without --decrypt")),
        (false, _) => Ok(None),
        (true, Some(key)) => Ok(Some(key)),
        (true, None) if request.decrypt || io::stdin().is_terminal() => keys::asked(false).map(Some),
        (true, None) => {
            show::aside("the file is sealed, and delivered so: --passphrase-file or --key-file opens it");
            Ok(None)
        }
    }
}

fn tell(link: &Link, name: &FileName, target: &Target, from: &Who, len_bytes: u64) {
    let fetched = show::fetched(name.as_str(), len_bytes, from);
    match target {
        Target::Output => show::aside(&fetched),
        Target::File(path) if link.json => {
            let (name, path, from) = (name.to_string(), path.to_string_lossy().into_owned(), from.clone());
            super::say(Object::Fetched { name, path, from }.line().trim_end());
        }
        Target::File(path) => show::results(&[format!("{fetched}   to {}", path.display())]),
    }
}
