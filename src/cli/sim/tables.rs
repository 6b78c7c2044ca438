//! The tables of papers: computed on all cores, printed line by line, each as soon as those above it are there.

use super::super::{FAILED, INTERRUPTED};
use crate::cli::speech::{self, say};
use crate::sim::tables::{Aim, Cell, Computed, Line, Name, Order, Table, table};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};
use std::{process, thread};

/// How wide a column of numbers is at least, in characters.
const NUMBER_WIDTH: usize = 6;
/// How often a line tells how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Which table.
#[derive(Subcommand, Debug)]
pub enum TableName {
    /// Hops against the number of peers (Chord, Fig. 10)
    PathLength(TableArgs),
    /// How many lookups take how many hops (Chord, Fig. 10b)
    HopShares(TableArgs),
    /// Lookups right after up to half of all have died (Chord, Table II)
    MassFailure(TableArgs),
    /// Lookups while peers join and leave (Chord, Table III)
    Churn(TableArgs),
    /// Lookups of everybody while everybody comes and goes (Bamboo)
    Bamboo(TableArgs),
    /// How evenly keys lie on peers (Chord, Fig. 9)
    LoadBalance(TableArgs),
    /// A network is cut in two, and healed
    Partition(TableArgs),
    /// Everybody wants the same file at once
    FlashCrowd(TableArgs),
    /// Some of the peers lie
    Hostile(TableArgs),
}

const EXAMPLES: &str = "\
Examples:
  p2p sim path-length                  A table of its own, as the paper has it; others: p2p sim --help
  p2p sim churn --effort 0.1           Ten times faster, and less exact
  p2p sim hostile --csv >hostile.csv   To be drawn: p2p plot hostile.csv";

/// How it is computed and shown.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub struct TableArgs {
    /// Decides everything that chance decides
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Share of the lookups that the table has: 0.1 is ten times faster, and less exact; up to 100
    #[arg(long, default_value = "1", value_parser = effort)]
    effort: f64,
    /// One JSON object a line
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values, with a heading
    #[arg(long)]
    csv: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Csv,
}

impl TableName {
    fn split(self) -> (Name, TableArgs) {
        match self {
            TableName::PathLength(args) => (Name::PathLength, args),
            TableName::HopShares(args) => (Name::HopShares, args),
            TableName::MassFailure(args) => (Name::MassFailure, args),
            TableName::Churn(args) => (Name::Churn, args),
            TableName::Bamboo(args) => (Name::Bamboo, args),
            TableName::LoadBalance(args) => (Name::LoadBalance, args),
            TableName::Partition(args) => (Name::Partition, args),
            TableName::FlashCrowd(args) => (Name::FlashCrowd, args),
            TableName::Hostile(args) => (Name::Hostile, args),
        }
    }
}

/// Computes and prints it. Exit code 1 if an aim was missed.
pub fn run(name: TableName) -> ExitCode {
    let (name, args) = name.split();
    let form = match (args.json, args.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ => Form::Text,
    };
    // What stands there stays; nothing else is worth waiting for.
    let interrupted = || {
        clear_progress();
        speech::aside("interrupted: the lines above are complete");
        process::exit(INTERRUPTED.into());
    };
    if let Err(error) = ctrlc::set_handler(interrupted) {
        speech::aside(&format!("Ctrl-C will end this without a word: {error}"));
    }
    let Table { title, source, columns, words, lines } = table(name, Order { seed: args.seed, effort: args.effort });
    let begun = Instant::now();
    let all = lines.len();
    let mut printer = Printer { form, columns, words };
    printer.begin(&title, source);
    let mut aims: Vec<Aim> = Vec::new();
    let mut ready: BTreeMap<usize, (String, Computed)> = BTreeMap::new();
    let mut printed = 0;
    let mut shares = vec![0.0; all];
    show_progress(&format!("0 of {all} lines"));
    compute(lines, |at, told| {
        match told {
            Told::Share(share) => shares[at] = share,
            Told::Done(label, computed) => {
                shares[at] = 1.0;
                ready.insert(at, (label, computed));
                clear_progress();
            }
        }
        while let Some((label, computed)) = ready.remove(&printed) {
            printer.line(&label, &computed.cells);
            aims.extend(computed.aims);
            printed += 1;
        }
        if printed < all {
            let done = shares.iter().sum::<f64>() / all as f64;
            show_progress(&format!("{} of {all} lines, {:.0} %", printed + ready.len(), done * 100.0));
        }
    });
    printer.end(&aims, args.seed, begun.elapsed().as_secs_f64());
    if aims.iter().all(|aim| aim.reached) { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// What is told of a line.
enum Told {
    /// How much of it has been computed, 0 to 1.
    Share(f64),
    /// Its label, and the line.
    Done(String, Computed),
}

/// Computes all lines on as many threads as there are cores; tells of each how far it is and when it is done, in any
/// order.
fn compute(lines: Vec<Line>, mut tell: impl FnMut(usize, Told)) {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let queue = Mutex::new(lines.into_iter().enumerate());
    let (results, computed) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..cores {
            let (queue, results) = (&queue, results.clone());
            scope.spawn(move || work(queue, &results));
        }
        drop(results);
        computed.iter().for_each(|(at, told)| tell(at, told));
    });
}

fn work(queue: &Mutex<impl Iterator<Item = (usize, Line)>>, results: &Sender<(usize, Told)>) {
    let watched = io::stderr().is_terminal();
    loop {
        let next = queue.lock().expect("nobody panics while it is locked").next();
        let Some((at, line)) = next else { break };
        let label = line.label.clone();
        let mut told = Instant::now();
        // Nobody listens any more where the program ends.
        let computed = line.compute(&mut |share| {
            if watched && told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let _ = results.send((at, Told::Share(share)));
            }
        });
        let _ = results.send((at, Told::Done(label, computed)));
    }
}

struct Printer {
    form: Form,
    columns: Vec<&'static str>,
    /// Which are words, and how wide.
    words: &'static [(usize, usize)],
}

impl Printer {
    fn begin(&mut self, title: &str, source: &str) {
        match self.form {
            Form::Text => {
                say(title);
                say(source);
                say("");
                say(&self.row(self.columns.iter().map(|column| (*column).to_owned())));
            }
            Form::Csv => say(&csv_row(self.columns.iter().map(|column| (*column).to_owned()))),
            Form::Json => say(&json!({ "event": "table", "title": title, "source": source }).to_string()),
        }
    }

    fn line(&self, label: &str, cells: &[Cell]) {
        match self.form {
            Form::Text => say(&self.row(cells.iter().map(Cell::to_string))),
            Form::Csv => say(&csv_row(cells.iter().map(csv_cell))),
            Form::Json => {
                let named = self.columns.iter().zip(cells).map(|(column, cell)| ((*column).to_owned(), as_json(cell)));
                let cells: Map<String, Value> = named.collect();
                say(&json!({ "event": "line", "label": label, "cells": cells }).to_string());
            }
        }
    }

    fn end(&self, aims: &[Aim], seed: u64, took_s: f64) {
        match self.form {
            Form::Text => {
                say("");
                for aim in aims {
                    say(&format!("{}  {}", if aim.reached { "reached" } else { "MISSED " }, aim.what));
                }
                say(&format!("seed {seed}, {took_s:.1} s"));
            }
            Form::Csv => {}
            Form::Json => {
                let aims: Vec<Value> =
                    aims.iter().map(|aim| json!({ "aim": aim.what, "reached": aim.reached })).collect();
                say(&json!({ "event": "done", "seed": seed, "took_s": took_s, "aims": aims }).to_string());
            }
        }
    }

    /// Words at the left of their column, numbers at the right.
    fn row(&self, cells: impl Iterator<Item = String>) -> String {
        let padded = cells.zip(&self.columns).enumerate().map(|(at, (cell, head))| {
            match self.words.iter().find(|(column, _)| *column == at) {
                Some((_, width)) => format!("{cell:<width$}", width = head.len().max(*width)),
                None => format!("{cell:>width$}", width = head.len().max(NUMBER_WIDTH)),
            }
        });
        padded.collect::<Vec<String>>().join("  ")
    }
}

fn csv_row(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<String>>().join(",")
}

/// Our words have no quotation marks; some have commas.
fn csv_cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) if text.contains(',') => format!("\"{text}\""),
        Cell::Nothing => String::new(),
        Cell::Text(_) | Cell::Number(..) => cell.to_string(),
    }
}

fn as_json(cell: &Cell) -> Value {
    match cell {
        Cell::Text(text) => json!(text),
        Cell::Number(number, 0) => json!(*number as i64),
        Cell::Number(number, _) => json!(number),
        Cell::Nothing => Value::Null,
    }
}

fn show_progress(text: &str) {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        let _ = write!(err, "\r{text}").and_then(|()| err.flush());
    }
}

fn clear_progress() {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K").and_then(|()| err.flush());
    }
}

fn effort(text: &str) -> Result<f64, String> {
    let effort: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if effort > 0.0 && effort <= 100.0 { Ok(effort) } else { Err("an effort is above 0, and at most 100".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efforts_are_read_or_refused() {
        assert_eq!(effort("0.1"), Ok(0.1));
        assert!(["0", "-1", "nan", "101", ""].iter().all(|text| effort(text).is_err()));
    }

    #[test]
    fn values_with_commas_are_quoted_and_nothing_is_empty() {
        let cells = [Cell::Text("one, two".to_owned()), Cell::Number(1.5, 2), Cell::Nothing];
        assert_eq!(csv_row(cells.iter().map(csv_cell)), "\"one, two\",1.50,");
    }
}
