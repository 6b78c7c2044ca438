//! `p2p bench` and `p2p plot`: which files they leave, what is in them, and that nothing else stays.

mod common;

use common::terminal::Terminal;
use common::{SOON, eventually, program};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A folder to be worked in, and one for what passes.
struct Place {
    dir: TempDir,
    passing: TempDir,
}

impl Place {
    fn new() -> Place {
        // Sockets have short paths.
        Place { dir: TempDir::new().unwrap(), passing: TempDir::new_in("/tmp").unwrap() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = program();
        command.args(words).current_dir(self.dir.path()).env("TMPDIR", self.passing.path()).stdin(Stdio::null());
        command.stdout(File::create(self.dir.path().join("out")).unwrap());
        command.stderr(File::create(self.dir.path().join("err")).unwrap());
        command
    }

    /// Runs it to its end. Its exit code, and what it said on both.
    fn run(&self, words: &[&str]) -> (i32, String) {
        let mut child = self.command(words).spawn().unwrap();
        let code = ended(&mut child);
        (code, self.said())
    }

    fn said(&self) -> String {
        ["out", "err"].map(|name| fs::read_to_string(self.dir.path().join(name)).unwrap()).concat()
    }

    /// The only record of an experiment.
    fn record(&self, experiment: &str) -> PathBuf {
        let records = fs::read_dir(self.dir.path().join("records").join(experiment)).unwrap();
        let records: Vec<PathBuf> = records.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(records.len(), 1, "{records:?}");
        records[0].clone()
    }

    fn assert_nothing_stays(&self) {
        let left: Vec<_> = fs::read_dir(self.passing.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn ended(child: &mut Child) -> i32 {
    eventually(SOON * 6, "the command ends", || child.try_wait().unwrap()).code().expect("it ends by itself")
}

/// The lines of a CSV file, cut at the commas: no name here has one.
fn csv(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// The header is this one, there are so many rows, and the last is that of their means.
fn assert_table(path: &Path, header: &str, rows: usize) {
    let lines = csv(path);
    let shown = path.display();
    assert_eq!(lines[0].join(","), header, "{shown}");
    assert_eq!(lines.len(), rows + 2, "{shown}");
    let (means, rows) = lines[1..].split_last().unwrap();
    assert_eq!(means[0], "mean", "{shown}");
    for column in 1..means.len() {
        let sum: f64 = rows.iter().map(|row| row[column].parse::<f64>().unwrap()).sum();
        let mean: f64 = means[column].parse().unwrap();
        let exact = sum / rows.len() as f64;
        assert!((mean - exact).abs() <= 0.0002 + exact.abs() * 1e-6, "{shown}: {mean} is not {exact}");
    }
}

const IMAGE_WRITE: &str = "name,size,chunks,mean chunk size,bytes,duration";
const IMAGE_READ: &str = "name,size,chunks,duration";
const TEXT: &str = "key,length,duration";

#[test]
fn images_and_strings_leave_tables_with_means_graphs_and_a_page() {
    let place = Place::new();
    let (code, said) = place.run(&["bench", "images", "strings", "--quick", "--seed", "7"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("seed 7") && said.contains("cores"), "{said}");
    let images = place.record("images");
    for folder in [images.clone(), images.join("network")] {
        assert_table(&folder.join("img_write.csv"), IMAGE_WRITE, 4);
        assert_table(&folder.join("img_read.csv"), IMAGE_READ, 4);
        for graph in ["img_write", "img_write_per_chunk", "img_read", "img_read_per_chunk", "topology"] {
            assert!(fs::read_to_string(folder.join(format!("{graph}.svg"))).unwrap().starts_with("<svg"), "{graph}");
        }
    }
    let strings = place.record("strings");
    for folder in [strings.clone(), strings.join("network")] {
        assert_table(&folder.join("str_write.csv"), TEXT, 20);
        assert_table(&folder.join("str_read.csv"), TEXT, 20);
        assert!(folder.join("str_write.svg").is_file() && folder.join("str_read.svg").is_file());
    }
    assert_eq!(csv(&strings.join("str_write.csv"))[1][..2], ["lorem_0", "26"]);
    let page = fs::read_to_string(images.join("index.html")).unwrap();
    assert!(page.contains("4 of 4 images came back right"), "{page}");
    assert!(fs::read_to_string(strings.join("index.html")).unwrap().contains("20 of 20 strings came back right"));
    assert!(page.contains("A quick run") && page.contains("img_write.svg") && page.contains("1_24kb.jpeg"));
    let facts = fs::read_to_string(images.join("run.json")).unwrap();
    assert!(facts.contains("\"seed\": 7") && facts.contains("\"interrupted\": false"), "{facts}");
    place.assert_nothing_stays();
}

#[test]
fn experiment_three_has_a_table_for_each_read_and_both_leavers() {
    let place = Place::new();
    let (code, said) = place.run(&["bench", "e3", "--quick"]);
    assert_eq!(code, 0, "{said}");
    let record = place.record("e3");
    for (folder, leaver) in [(record.clone(), "5679"), (record.join("6001-leaves"), "6001")] {
        assert_table(&folder.join("img_write.csv"), IMAGE_WRITE, 4);
        assert_table(&folder.join("str_write.csv"), TEXT, 20);
        for ending in ["1", "2", "3", &format!("4_after_{leaver}_left")] {
            assert_table(&folder.join(format!("img_read_{ending}.csv")), IMAGE_READ, 4);
            assert_table(&folder.join(format!("str_read_{ending}.csv")), TEXT, 20);
        }
    }
    assert!(said.contains("read an image after joining late") && said.contains("746.4"), "{said}");
    place.assert_nothing_stays();
}

#[test]
fn control_c_leaves_what_was_measured_and_no_peer() {
    let place = Place::new();
    let mut child = place.command(&["bench", "churn", "--peers", "4"]).spawn().unwrap();
    eventually(SOON * 2, "peers run", || {
        let folders = fs::read_dir(place.passing.path()).ok()?.flatten();
        let four =
            |path: PathBuf| path.join("peer3").join("churn").is_dir() || path.join("peer0").join("churn").is_dir();
        folders.map(|entry| entry.path()).any(four).then_some(())
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(ended(&mut child), 130, "{}", place.said());
    let record = place.record("churn");
    assert!(fs::read_to_string(record.join("run.json")).unwrap().contains("\"interrupted\": true"));
    assert!(fs::read_to_string(record.join("index.html")).unwrap().contains("<strong>interrupted</strong>"));
    place.assert_nothing_stays();
}

#[test]
fn at_a_terminal_a_bar_says_how_fast_it_goes_and_how_long_it_will_take() {
    let place = Place::new();
    let mut command = program();
    // Not a quick one: its bars are there for a moment.
    command.args(["bench", "e1"]).current_dir(place.dir.path()).env("TMPDIR", place.passing.path());
    let mut bench = Terminal::run(&command);
    bench.shows_row("a bar", |row| row.contains("━") && row.contains("/s  ") && row.ends_with(" left"));
    bench.press("\x03");
    bench.exit();
}

#[test]
fn a_table_is_drawn_and_a_column_that_is_not_there_is_told() {
    let place = Place::new();
    fs::write(place.dir.path().join("a.csv"), "key,length,duration\nx,1,2\ny,2,3\nmean,1.5,2.5\n").unwrap();
    let (code, said) = place.run(&["plot", "a.csv"]);
    assert_eq!(code, 0, "{said}");
    assert!(fs::read_to_string(place.dir.path().join("a.svg")).unwrap().contains("duration, ms"));
    let (code, said) = place.run(&["plot", "a.csv", "-x", "size"]);
    assert_eq!((code, said.trim()), (1, "a.csv: there is no column of numbers size; there are: length, duration"));
    let (code, said) = place.run(&["plot", "b.csv"]);
    assert!(code == 1 && said.contains("cannot read b.csv"), "{said}");
}

#[test]
fn what_is_no_experiment_or_no_option_is_wrong_usage() {
    let place = Place::new();
    for words in [
        &["bench"][..],
        &["bench", "e4"],
        &["bench", "e1", "--peers", "2"],
        &["bench", "e1", "--overlay", "tree"],
        &["bench", "e1", "--in-flight", "0"],
        &["bench", "e1", "--seed", "one"],
        &["plot"],
    ] {
        let (code, said) = place.run(words);
        assert_eq!(code, 2, "{words:?}: {said}");
        assert!(said.contains("Usage: p2p"), "{words:?}: {said}");
    }
    assert!(!place.dir.path().join("records").exists());
    let (code, said) = place.run(&["bench", "images", "--quick", "--images", "nowhere"]);
    assert!(code == 1 && said.contains("cannot read the folder nowhere"), "{said}");
}
