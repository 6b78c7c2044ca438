//! Which graphs are drawn of which tables.

use super::book::{Book, IMAGE_READ, IMAGE_WRITE, Part, TEXT_READ, TEXT_WRITE};
use super::graph::{Graph, Series};
use super::table::Table;

/// What one graph shows of a table.
struct View {
    /// Its file, without the ending.
    file: &'static str,
    /// The tables whose names begin so.
    tables: &'static str,
    title: &'static str,
    x: (&'static str, f64, &'static str),
    y: &'static str,
    /// The column is divided by that of this name.
    a: Option<&'static str>,
}

const SIZE: (&str, f64, &str) = ("size", 1e6, "size of the image, MB");
const LENGTH: (&str, f64, &str) = ("length", 1.0, "length of the string, bytes");

/// The six graphs.
const VIEWS: [View; 6] = [
    View { file: IMAGE_WRITE.0, tables: IMAGE_WRITE.0, title: "Time to write an image", x: SIZE, y: "ms", a: None },
    View {
        file: "img_write_per_chunk",
        tables: IMAGE_WRITE.0,
        title: "Time to write an image, for each of its chunks",
        x: SIZE,
        y: "ms a chunk",
        a: Some("chunks"),
    },
    View { file: IMAGE_READ.0, tables: IMAGE_READ.0, title: "Time to read an image", x: SIZE, y: "ms", a: None },
    View {
        file: "img_read_per_chunk",
        tables: IMAGE_READ.0,
        title: "Time to read an image, for each of its chunks",
        x: SIZE,
        y: "ms a chunk",
        a: Some("chunks"),
    },
    View { file: TEXT_WRITE.0, tables: TEXT_WRITE.0, title: "Time to write a string", x: LENGTH, y: "ms", a: None },
    View { file: TEXT_READ.0, tables: TEXT_READ.0, title: "Time to read a string", x: LENGTH, y: "ms", a: None },
];

/// All graphs of a part, with the names of their files.
pub fn of(part: &Part, book: &Book) -> Vec<(String, Graph)> {
    let rival = part.rival.as_deref().and_then(|folder| book.part(folder)).filter(|rival| !rival.tables.is_empty());
    let own = VIEWS.iter().filter_map(|view| {
        // A whole file and a chunk of one are not the same thing.
        let beside = rival.filter(|rival| view.a.is_none() || chunks(rival) == chunks(part));
        let mut series = series(part, view, beside.is_some());
        if series.is_empty() {
            return None;
        }
        series.extend(beside.into_iter().flat_map(|rival| self::series(rival, view, true)));
        let (_, _, x) = view.x;
        let graph = Graph { title: view.title.to_owned(), x: x.to_owned(), y: view.y.to_owned(), series };
        Some((format!("{}.svg", view.file), graph))
    });
    own.chain(part.tables.iter().filter_map(lines_of)).collect()
}

/// In how many chunks the images of a part are.
fn chunks(part: &Part) -> Vec<f64> {
    let file = format!("{}.csv", IMAGE_WRITE.0);
    part.tables.iter().find(|table| table.file == file).map_or_else(Vec::new, |table| table.column("chunks"))
}

fn series(part: &Part, view: &View, several: bool) -> Vec<Series> {
    let tables: Vec<&Table> = part.tables.iter().filter(|table| table.file.starts_with(view.tables)).collect();
    let one = |table: &Table| {
        let (column, unit, _) = view.x;
        let parts = view.a.map(|column| table.column(column));
        let time = |(at, millis): (usize, f64)| parts.as_ref().map_or(millis, |parts| millis / parts[at].max(1.0));
        let times = table.column("duration").into_iter().enumerate().map(time);
        let ending = table.file.trim_start_matches(view.tables).trim_end_matches(".csv").replace('_', " ");
        let name = match (several, tables.len() > 1) {
            (_, true) => format!("{}: read{ending}", part.label),
            (true, false) => part.label.clone(),
            (false, false) => String::new(),
        };
        Series { name, points: table.column(column).into_iter().map(|x| x / unit).zip(times).collect() }
    };
    tables.iter().map(|table| one(table)).collect()
}

/// Tables of other experiments, whose first column is a number: all other columns over it.
fn lines_of(table: &Table) -> Option<(String, Graph)> {
    let across: Vec<f64> = table.rows.iter().map(|(name, _)| name.parse().ok()).collect::<Option<_>>()?;
    if across.is_empty() {
        return None;
    }
    let line = |column: &&&'static str| Series {
        name: column.trim_end_matches("_s").replace('_', " "),
        points: across.iter().copied().zip(table.column(column)).collect(),
    };
    let series = table.columns[1..].iter().filter(|column| !HIDDEN.contains(column)).collect::<Vec<_>>();
    let y = if table.columns.iter().any(|column| column.ends_with("_s")) { "seconds" } else { "ms" };
    let mut series: Vec<Series> = series.iter().map(line).collect();
    if let [only] = &mut series[..] {
        only.name.clear();
    }
    let graph = Graph {
        title: table.title.clone(),
        x: match table.columns[0] {
            "n" => "peers that want the file".to_owned(),
            "second" => "seconds since the beginning".to_owned(),
            other => other.replace('_', " "),
        },
        y: y.to_owned(),
        series,
    };
    Some((table.file.replace(".csv", ".svg"), graph))
}

/// Columns that are not of the same kind as the others beside them.
const HIDDEN: [&str; 4] = ["ratio", "found", "right", "peers"];
