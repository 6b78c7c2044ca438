//! The folder of one experiment: tables, graphs, a page, and how it was run.

use super::book::Book;
use super::machine::Machine;
use super::{drawings, failed, page, topology};
use crate::web::schema::Trouble;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How an experiment was run, and how that ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its name.
    pub experiment: String,
    /// The command line.
    pub command: String,
    /// When it began.
    pub begun: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What chance was begun with.
    pub seed: u64,
    /// The options, by their names.
    pub options: Vec<(&'static str, String)>,
    /// On what, as it began.
    pub machine: Machine,
    /// Which programs, by name.
    pub versions: Vec<(&'static str, String)>,
    /// Somebody ended it.
    pub interrupted: bool,
    /// What ended it early, if something did.
    pub failed: Option<String>,
}

impl Run {
    /// What is to be known of it, for people.
    pub fn facts(&self) -> Vec<(String, String)> {
        let mut facts = vec![
            ("command".to_owned(), self.command.clone()),
            ("seed".to_owned(), self.seed.to_string()),
            ("begun".to_owned(), self.begun.to_string()),
            ("took".to_owned(), format!("{:.1} s", self.took.as_secs_f64())),
            ("machine".to_owned(), self.machine.line()),
        ];
        facts
            .extend(self.options.iter().chain(&self.versions).map(|(name, value)| ((*name).to_owned(), value.clone())));
        facts
    }

    /// The same for programs.
    fn json(&self) -> Value {
        let Machine { cores, cpu, memory_bytes, kernel, load } = &self.machine;
        let object = |pairs: &[(&'static str, String)]| {
            Value::Object(pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect())
        };
        json!({
            "experiment": self.experiment,
            "command": self.command,
            "begun": self.begun.to_string(),
            "took_s": self.took.as_secs_f64(),
            "seed": self.seed,
            "options": object(&self.options),
            "machine": { "cores": cores, "cpu": cpu, "memory_bytes": memory_bytes, "kernel": kernel, "load": load },
            "versions": object(&self.versions),
            "interrupted": self.interrupted,
            "failed": self.failed,
        })
    }

    #[cfg(test)]
    pub fn example() -> Run {
        Run {
            experiment: "e1".into(),
            command: "p2p bench e1".into(),
            begun: Timestamp::UNIX_EPOCH,
            took: Duration::from_secs(1),
            seed: 1,
            options: Vec::new(),
            machine: Machine::this(),
            versions: Vec::new(),
            interrupted: false,
            failed: None,
        }
    }
}

/// Writes all of it under `out`, in a new folder named after the experiment and the time. Returns that folder.
pub fn write(out: &Path, run: &Run, book: &Book) -> Result<PathBuf, Trouble> {
    let folder = new_folder(&out.join(&run.experiment), run.begun)?;
    let mut graphs = Vec::new();
    for (at, part) in book.parts.iter().enumerate() {
        let folder = folder.join(&part.folder);
        fs::create_dir_all(&folder).map_err(|error| unwritten(&folder, &error))?;
        for table in part.tables.iter().filter(|table| !table.rows.is_empty()) {
            table.write(&folder).map_err(|error| unwritten(&folder.join(&table.file), &error))?;
        }
        if !part.seats.is_empty() {
            save(&folder.join("topology.svg"), &topology::draw(&part.seats))?;
            graphs.push((at, "topology.svg".to_owned()));
        }
        for (file, graph) in drawings::of(part, book) {
            if let Some(svg) = graph.svg() {
                save(&folder.join(&file), &svg)?;
                graphs.push((at, file));
            }
        }
    }
    save(&folder.join("index.html"), &page::html(run, book, &graphs))?;
    save(&folder.join("run.json"), &format!("{:#}\n", run.json()))?;
    Ok(folder)
}

/// `2026-11-21T23-05-00Z`; with a number behind it, where that is there already.
fn new_folder(within: &Path, begun: Timestamp) -> Result<PathBuf, Trouble> {
    fs::create_dir_all(within).map_err(|error| unwritten(within, &error))?;
    let name = begun.strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
    let names = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
    for path in names.map(|name| within.join(name)) {
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unwritten(&path, &error)),
        }
    }
    unreachable!("numbers do not end")
}

fn save(path: &Path, text: &str) -> Result<(), Trouble> {
    fs::write(path, text).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Trouble {
    failed(format!("cannot write {}: {error}; --out names another folder", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_same_second_have_folders_of_their_own() {
        let out = tempfile::tempdir().unwrap();
        let mut book = Book::default();
        book.open("network", "ring", "a part")
            .table("str_read.csv", "reads", &["key", "duration"])
            .push("lorem_0", [1.0]);
        let folders = [(); 2].map(|()| write(out.path(), &Run::example(), &book).unwrap());
        assert_eq!(folders[0], out.path().join("e1/1970-01-01T00-00-00Z"));
        assert_eq!(folders[1], out.path().join("e1/1970-01-01T00-00-00Z-2"));
        for file in ["index.html", "run.json", "network/str_read.csv"] {
            assert!(folders[1].join(file).is_file(), "{file}");
        }
    }
}
