//! `p2p config show`, and what is printed or written as it is: completions and manual pages.

use super::FAILED;
use super::args::files::{Origin, Setting};
use super::args::pages::Page;
use super::sights::{Side, table};
use super::speech;
use super::tell::clean;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// Shows all settings, and where each comes from.
pub fn show(settings: &[Setting], json: bool) -> ExitCode {
    let lines: Vec<String> = if json { objects(settings) } else { rows(settings) };
    print((lines.join("\n") + "\n").as_bytes())
}

/// Prints bytes as they are.
pub fn print(text: &[u8]) -> ExitCode {
    speech::say_bytes(text);
    ExitCode::SUCCESS
}

/// Writes pages into a folder, which is made where it is not there.
pub fn write_pages(dir: &Path, pages: &[Page]) -> ExitCode {
    let write = || {
        fs::create_dir_all(dir)?;
        pages.iter().try_for_each(|page| fs::write(dir.join(&page.file), &page.text))
    };
    match write() {
        Ok(()) => print(format!("wrote {} pages to {}\n", pages.len(), dir.display()).as_bytes()),
        Err(error) => {
            speech::aside(&format!("cannot write pages to {}: {error}", dir.display()));
            ExitCode::from(FAILED)
        }
    }
}

fn rows(settings: &[Setting]) -> Vec<String> {
    let mut rows = vec![["setting", "value", "from"].map(str::to_owned).to_vec()];
    for Setting { key, value, origin } in settings {
        let value = value.clone().unwrap_or_else(|| "–".to_owned());
        let origin = match origin {
            Origin::Flag => "flag".to_owned(),
            Origin::Variable(name) => format!("variable {name}"),
            Origin::Project(path) => format!("project file {}", path.display()),
            Origin::User(path) => format!("user file {}", path.display()),
            Origin::Default => "default".to_owned(),
        };
        rows.push(vec![key.clone(), value, origin]);
    }
    table(&rows, &[Side::Left; 3]).iter().map(|line| clean(line)).collect()
}

fn objects(settings: &[Setting]) -> Vec<String> {
    let object = |Setting { key, value, origin }: &Setting| {
        let (from, at) = match origin {
            Origin::Flag => ("flag", None),
            Origin::Variable(name) => ("variable", Some(name.clone())),
            Origin::Project(path) => ("project", Some(path.display().to_string())),
            Origin::User(path) => ("user", Some(path.display().to_string())),
            Origin::Default => ("default", None),
        };
        json!({ "event": "setting", "key": key, "value": value, "from": from, "at": at }).to_string()
    };
    settings.iter().map(object).chain([json!({ "event": "done", "outcome": "good" }).to_string()]).collect()
}
