//! `p2p plot`: draws a CSV file, of `p2p bench` or any other.

use super::graph::{Graph, Series};
use super::table::MEAN;
use super::{failed, say, tell_trouble};
use crate::cli::FAILED;
use crate::web::schema::Trouble;
use clap::Args;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  p2p plot img_write.csv                     Draws img_write.svg: duration over size
  p2p plot distribute.csv -y measured_s -y peer_to_peer_bound_s -o both.svg
  p2p plot img_read_1.csv -x chunks";

/// A file to be drawn.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub struct Plot {
    /// A CSV file whose first line names its columns
    file: PathBuf,
    /// Where the SVG is written [default: beside the file]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The column that goes to the right [default: size or length, or the first one of numbers]
    #[arg(short, value_name = "COLUMN")]
    x: Option<String>,
    /// A column that goes up; may be given several times [default: duration, or all other ones of numbers]
    #[arg(short, value_name = "COLUMN")]
    y: Vec<String>,
}

/// Draws it.
pub fn run(plot: &Plot) -> ExitCode {
    match draw(plot) {
        Ok(path) => {
            say(&format!("drawn   {}", path.display()));
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            tell_trouble(&trouble);
            ExitCode::from(FAILED)
        }
    }
}

fn draw(plot: &Plot) -> Result<PathBuf, Trouble> {
    let shown = plot.file.display();
    let text = fs::read_to_string(&plot.file).map_err(|error| failed(format!("cannot read {shown}: {error}")))?;
    let columns = Columns::read(&text).map_err(|reason| failed(format!("{shown}: {reason}")))?;
    let name = plot.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let graph =
        columns.graph(&name, plot.x.as_deref(), &plot.y).map_err(|reason| failed(format!("{shown}: {reason}")))?;
    let svg = graph.svg().ok_or_else(|| failed(format!("{shown} has no rows to draw")))?;
    let path = plot.output.clone().unwrap_or_else(|| plot.file.with_extension("svg"));
    fs::write(&path, svg).map_err(|error| failed(format!("cannot write {}: {error}", path.display())))?;
    Ok(path)
}

/// The columns of numbers, without the row of means.
struct Columns(Vec<(String, Vec<f64>)>);

impl Columns {
    fn read(text: &str) -> Result<Columns, String> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| error.to_string())?.clone();
        let rows: Vec<csv::StringRecord> =
            reader.records().collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let rows = rows.iter().filter(|row| row.get(0) != Some(MEAN));
        let column = |(at, name): (usize, &str)| {
            let numbers = rows.clone().map(|row| row.get(at)?.parse().ok()).collect::<Option<Vec<f64>>>()?;
            Some((name.to_owned(), numbers))
        };
        Ok(Columns(header.iter().enumerate().filter_map(column).collect()))
    }

    fn named(&self, name: &str) -> Result<&(String, Vec<f64>), String> {
        let known = || self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let found = self.0.iter().find(|(known, _)| known == name);
        found.ok_or_else(|| format!("there is no column of numbers {name}; there are: {}", known()))
    }

    fn graph(&self, title: &str, x: Option<&str>, y: &[String]) -> Result<Graph, String> {
        let usual = |names: &[&str]| names.iter().find_map(|name| self.named(name).ok());
        let first = || self.0.first().ok_or_else(|| "there is no column of numbers".to_owned());
        let across = match x {
            Some(name) => self.named(name)?,
            None => usual(&["size", "length"]).map_or_else(first, Ok)?,
        };
        let up: Vec<&(String, Vec<f64>)> = match (y, usual(&["duration"])) {
            ([], Some(duration)) => vec![duration],
            ([], None) => self.0.iter().filter(|(name, _)| *name != across.0).collect(),
            (names, _) => names.iter().map(|name| self.named(name)).collect::<Result<_, _>>()?,
        };
        let series = up.iter().map(|(name, numbers)| Series {
            name: if up.len() > 1 { name.clone() } else { String::new() },
            points: across.1.iter().copied().zip(numbers.iter().copied()).collect(),
        });
        let unit = |name: &str| if name == "duration" { "duration, ms".to_owned() } else { name.replace('_', " ") };
        let y = match &up[..] {
            [(name, _)] => unit(name),
            _ => String::new(),
        };
        Ok(Graph { title: title.to_owned(), x: across.0.replace('_', " "), y, series: series.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "key,length,duration\nlorem_0,10,0.5\nlorem_5,20,0.25\nmean,15,0.375\n";

    #[test]
    fn the_usual_columns_are_drawn_without_the_means() {
        let graph = Columns::read(TEXT).unwrap().graph("str_read", None, &[]).unwrap();
        assert_eq!((graph.x.as_str(), graph.y.as_str()), ("length", "duration, ms"));
        assert_eq!(graph.series[0].points, [(10.0, 0.5), (20.0, 0.25)]);
    }

    #[test]
    fn a_column_that_is_not_there_is_told_with_those_that_are() {
        let columns = Columns::read(TEXT).unwrap();
        let reason = columns.graph("str_read", Some("key"), &[]).unwrap_err();
        assert_eq!(reason, "there is no column of numbers key; there are: length, duration");
        assert!(Columns::read("a\nx\n").unwrap().graph("t", None, &[]).is_err());
        assert!(Columns::read("a,b\n1\n").is_err(), "a row that is too short");
    }
}
