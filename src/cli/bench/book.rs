//! What an experiment has measured so far: whatever ends it, this is what is written.

use super::table::Table;
use super::topology::Seat;

/// Sizes and durations of written images, one a row; a duration is in milliseconds.
pub const IMAGE_WRITE: (&str, &[&str]) =
    ("img_write", &["name", "size", "chunks", "mean chunk size", "bytes", "duration"]);
/// The same of images that were read.
pub const IMAGE_READ: (&str, &[&str]) = ("img_read", &["name", "size", "chunks", "duration"]);
/// Of strings that were written.
pub const TEXT_WRITE: (&str, &[&str]) = ("str_write", &["key", "length", "duration"]);
/// And of strings that were read.
pub const TEXT_READ: (&str, &[&str]) = ("str_read", &["key", "length", "duration"]);

/// One series of measurements: a network, what was done in it, how long it took.
#[derive(Debug)]
pub struct Part {
    /// Its folder within the records; empty for the main part.
    pub folder: String,
    /// Whose it is, for the graphs' legends: `Kademlia`, `ring`, `Python kademlia`.
    pub label: String,
    /// In a few words.
    pub title: String,
    /// What was done, in sentences.
    pub about: Vec<String>,
    /// What was noticed meanwhile.
    pub notes: Vec<String>,
    /// What went wrong meanwhile, though the experiment went on.
    pub failures: Vec<String>,
    /// Who joined whom.
    pub seats: Vec<Seat>,
    /// What was measured.
    pub tables: Vec<Table>,
    /// The part that is drawn in the same graphs, by its folder.
    pub rival: Option<String>,
}

/// A table of results beside each other, as text.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What it compares.
    pub title: String,
    /// The columns' titles.
    pub header: Vec<String>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
}

/// All of an experiment.
#[derive(Debug, Default)]
pub struct Book {
    /// In the order in which they were measured.
    pub parts: Vec<Part>,
    /// What is said of them.
    pub shown: Vec<Shown>,
    /// What the experiment is, and what is to be known to read its figures.
    pub about: Vec<String>,
}

impl Book {
    /// Opens a part. Returns it.
    pub fn open(&mut self, folder: &str, label: &str, title: impl Into<String>) -> &mut Part {
        self.parts.push(Part {
            folder: folder.to_owned(),
            label: label.to_owned(),
            title: title.into(),
            about: Vec::new(),
            notes: Vec::new(),
            failures: Vec::new(),
            seats: Vec::new(),
            tables: Vec::new(),
            rival: None,
        });
        self.last()
    }

    /// The part that was opened last.
    pub fn last(&mut self) -> &mut Part {
        self.parts.last_mut().expect("one is opened before anything is measured")
    }

    /// A part by its folder.
    pub fn part(&self, folder: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.folder == folder)
    }
}

impl Part {
    /// The table of a file, made where there is none yet.
    pub fn table(&mut self, file: &str, title: &str, columns: &'static [&'static str]) -> &mut Table {
        let at = self.tables.iter().position(|table| table.file == file).unwrap_or_else(|| {
            self.tables.push(Table::new(file, title, columns));
            self.tables.len() - 1
        });
        &mut self.tables[at]
    }

    /// The mean of the durations in a file, in milliseconds.
    pub fn mean(&self, file: &str) -> Option<f64> {
        self.tables.iter().find(|table| table.file == file)?.mean("duration")
    }
}

impl Shown {
    /// For people at a terminal.
    pub fn lines(&self) -> Vec<String> {
        let rows: Vec<&Vec<String>> = std::iter::once(&self.header).chain(&self.rows).collect();
        let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let line = |row: &Vec<String>| {
            let cell = |(at, text): (usize, &String)| {
                let width = width(at).unwrap_or_default();
                if at == 0 { format!("{text:<width$}") } else { format!("{text:>width$}") }
            };
            row.iter().enumerate().map(cell).collect::<Vec<_>>().join("   ").trim_end().to_owned()
        };
        std::iter::once(self.title.clone()).chain(rows.iter().map(|row| line(row))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_stands_in_columns() {
        let shown = Shown {
            title: "times".into(),
            header: vec!["".into(), "ours".into()],
            rows: vec![vec!["write".into(), "1.25 ms".into()], vec!["read an image".into(), "–".into()]],
        };
        assert_eq!(
            shown.lines(),
            ["times", "                   ours", "write           1.25 ms", "read an image         –"]
        );
    }
}
