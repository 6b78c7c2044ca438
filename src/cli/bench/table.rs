//! Tables of measurements: rows of a name and numbers, as CSV, with their means.

use std::io;
use std::path::Path;

/// How many digits a number that is not whole has.
const DIGITS: usize = 4;

/// What the row of means is called.
pub const MEAN: &str = "mean";

/// A table, and the file that it becomes.
#[derive(Clone, Debug)]
pub struct Table {
    /// Such as `img_write.csv`.
    pub file: String,
    /// What was measured, in words.
    pub title: String,
    /// The first is of names, all others of numbers.
    pub columns: &'static [&'static str],
    /// Rows so far: as many numbers as there are columns but one.
    pub rows: Vec<(String, Vec<f64>)>,
    /// The last row shall be that of the means.
    pub means: bool,
}

impl Table {
    /// With no row yet, and means at the end.
    pub fn new(file: impl Into<String>, title: impl Into<String>, columns: &'static [&'static str]) -> Table {
        Table { file: file.into(), title: title.into(), columns, rows: Vec::new(), means: true }
    }

    /// One more row.
    pub fn push(&mut self, name: impl Into<String>, numbers: impl IntoIterator<Item = f64>) {
        let numbers: Vec<f64> = numbers.into_iter().collect();
        assert_eq!(numbers.len() + 1, self.columns.len(), "{} has other columns", self.file);
        self.rows.push((name.into(), numbers));
    }

    /// The numbers of a column; none if there is no such one.
    pub fn column(&self, name: &str) -> Vec<f64> {
        let at = self.columns.iter().skip(1).position(|column| *column == name);
        at.map_or_else(Vec::new, |at| self.rows.iter().map(|(_, numbers)| numbers[at]).collect())
    }

    /// The mean of a column; none while there is no row.
    pub fn mean(&self, name: &str) -> Option<f64> {
        mean(&self.column(name))
    }

    /// All rows as they are written, the means at the end.
    pub fn cells(&self) -> Vec<Vec<String>> {
        let as_text = |name: &str, numbers: &[f64]| {
            std::iter::once(name.to_owned()).chain(numbers.iter().map(|number| written(*number))).collect()
        };
        let mut cells: Vec<Vec<String>> = self.rows.iter().map(|(name, numbers)| as_text(name, numbers)).collect();
        if self.means && !self.rows.is_empty() {
            let means: Vec<f64> = self.columns[1..].iter().filter_map(|column| self.mean(column)).collect();
            cells.push(as_text(MEAN, &means));
        }
        cells
    }

    /// Written into a folder.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut writer = csv::Writer::from_path(folder.join(&self.file))?;
        writer.write_record(self.columns)?;
        for cells in self.cells() {
            writer.write_record(&cells)?;
        }
        writer.flush()
    }
}

/// The mean of numbers; none of none.
pub fn mean(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

/// Whole numbers without a fraction.
pub fn written(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.DIGITS$}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn table() -> Table {
        let mut table = Table::new("str_read.csv", "reads", &["key", "length", "duration"]);
        table.push("lorem_0", [26.0, 0.5]);
        table.push("say, \"hi\"", [29.0, 0.25]);
        table
    }

    #[test]
    fn the_last_row_has_the_means_and_names_are_quoted() {
        let folder = tempfile::tempdir().unwrap();
        table().write(folder.path()).unwrap();
        let text = fs::read_to_string(folder.path().join("str_read.csv")).unwrap();
        assert_eq!(
            text,
            "key,length,duration\nlorem_0,26,0.5000\n\"say, \"\"hi\"\"\",29,0.2500\nmean,27.5000,0.3750\n"
        );
    }

    #[test]
    fn what_has_no_rows_has_no_means() {
        let empty = Table::new("a.csv", "nothing", &["key", "duration"]);
        assert_eq!((empty.mean("duration"), empty.cells().len()), (None, 0));
        assert_eq!(table().mean("duration"), Some(0.375));
        assert_eq!(table().mean("key"), None);
        assert_eq!(Table { means: false, ..table() }.cells().len(), 2);
    }
}
