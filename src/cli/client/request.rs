//! `p2p request`: the file arrives under a passing name, and is unsealed on the way to where it is wanted.

use super::link::Link;
use super::passing::Passing;
use super::store::check_space;
use super::{absolute, distinct, failed, keys, many, name_of, show};
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

/// Brings files here.
pub fn request(request: &Request, link: impl Fn(&Asking) -> Result<Link, Trouble>) -> Result<Outcome, Trouble> {
    let mut wanted = Vec::new();
    for (number, name) in request.names.iter().enumerate() {
        let name = name_of(name)?;
        let target = Target::of(request.output.as_deref(), &name)?;
        wanted.push(Wanted { number, name, target });
    }
    distinct(wanted.iter().map(|wanted| &wanted.name))?;
    let alone = wanted.len() == 1;
    let mut key = keys::given(&request.key)?;
    // Asked for once, and not by each of many.
    if key.is_none() && (request.hide_name || request.decrypt && !alone) {
        key = Some(keys::asked(false)?);
    }
    // All go to the same folder.
    let passing = wanted[0].target.passing(alone)?;
    let bringing = Bringing { request, alone, key, passing, link: link(&request.asking)? };
    let outcome =
        many::each(&wanted, bringing.link.json, |wanted| wanted.name.as_str(), |wanted| bringing.bring(wanted));
    if outcome.is_err() && bringing.passing.leave() {
        show::kept();
    }
    outcome
}

/// A file that is wanted.
struct Wanted {
    /// Which of them it is.
    number: usize,
    name: FileName,
    target: Target,
}

/// What all files have in common.
struct Bringing<'r> {
    request: &'r Request,
    /// It is only one.
    alone: bool,
    key: Option<SealKey>,
    passing: Passing,
    link: Link,
}

/// What opens a file.
enum Opening<'k> {
    /// Nothing: it is not sealed, or wanted as it is.
    Nothing,
    With(&'k SealKey),
    /// What somebody at the terminal types.
    Asked,
}

impl Bringing<'_> {
    fn bring(&self, Wanted { number, name, target }: &Wanted) -> Result<Outcome, Trouble> {
        let arriving = self.passing.file(&format!("{number}-arriving"));
        let hidden = self.key.as_ref().filter(|_| self.request.hide_name).map(|key| key.hidden_name(name));
        let wire_name = hidden.transpose().map_err(keys::trouble)?.unwrap_or_else(|| name.clone());
        let path = arriving.to_str().ok_or_else(|| Trouble::new(Code::Refused, "this folder's path is no text"))?;
        let wish = RequestWish { name: wire_name.to_string(), version: self.request.version, path: path.to_owned() };
        let mut from = None;
        let outcome = self.link.post("/v1/request", &wish, |line| match line.object {
            // Told when it is where it is wanted.
            Some(Object::Fetched { from: holder, .. }) => from = Some(holder.clone()),
            _ => self.link.show(&line, |_| Vec::new()),
        })?;

        let mut file =
            File::open(&arriving).map_err(|error| failed(format!("what arrived cannot be read: {error}")))?;
        let asked;
        let key = match self.opening(name, &mut file)? {
            Opening::Nothing => None,
            Opening::With(key) => Some(key),
            Opening::Asked => {
                asked = keys::asked(false)?;
                Some(&asked)
            }
        };
        let len_bytes = target.deliver(&arriving, file, key)?;
        if let Some(from) = from {
            tell(&self.link, name, target, &from, len_bytes);
        }
        Ok(outcome)
    }

    fn opening(&self, name: &FileName, file: &mut File) -> Result<Opening<'_>, Trouble> {
        let unread = |error: io::Error| failed(format!("what arrived cannot be read: {error}"));
        let decrypt = self.request.decrypt;
        match (is_sealed(file).map_err(unread)?, &self.key) {
            (false, _) if decrypt => Err(keys::trouble(SealError::NotSealed).hint("request it without --decrypt")),
            (false, _) => Ok(Opening::Nothing),
            (true, Some(key)) => Ok(Opening::With(key)),
            (true, None) if decrypt || self.alone && io::stdin().is_terminal() => Ok(Opening::Asked),
            (true, None) => {
                let opens = "--passphrase-file or --key-file opens it";
                show::aside(&format!("{name} is sealed, and delivered so: {opens}"));
                Ok(Opening::Nothing)
            }
        }
    }
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

    /// A private folder from which the file can be moved there; what has come of a file `alone` is gone on with. Fails
    /// where nothing can be written.
    fn passing(&self, alone: bool) -> Result<Passing, Trouble> {
        let folder = match self {
            Target::Output => env::temp_dir(),
            Target::File(path) => path.parent().expect("it has a name, so it is in a folder").to_owned(),
        };
        check_space(&folder, 1)?;
        let unmade = |error: io::Error| failed(format!("cannot write in {}: {error}", folder.display()));
        match self {
            Target::File(path) if alone => Passing::beside(path).map_err(unmade),
            Target::File(_) | Target::Output => Passing::within(&folder).map_err(unmade),
        }
    }

    /// Puts what arrived there, unsealed if there is a key. Returns its length.
    fn deliver(&self, arriving: &Path, mut file: File, key: Option<&SealKey>) -> Result<u64, Trouble> {
        match self {
            Target::Output => {
                // From here on it has no name that could stay behind.
                let _ = fs::remove_file(arriving);
                let mut output = io::stdout().lock();
                let copied = copy(&mut file, &mut output, key)?;
                output.flush().map_err(|error| keys::trouble(SealError::Sink(error)))?;
                Ok(copied)
            }
            Target::File(path) => {
                let whole = match key {
                    None => arriving.to_owned(),
                    Some(_) => unseal_into(arriving.with_extension("unsealed"), &mut file, key)?,
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
