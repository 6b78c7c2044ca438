//! Experiment 3: two nodes join late, one reads again and again, a node leaves meanwhile.

use super::Setting;
use super::book::Book;
use super::cluster::{Cluster, Engine};
use super::original;
use super::sets;
use super::topology::{Seat, chain};
use super::variants::WIDE_K;
use crate::web::schema::Trouble;

/// How many nodes are there from the beginning: 5678 to 5681, each joined to the one before it.
const FIRST_NODES: usize = 4;

/// How many nodes are there in the end: each keeps everything, in the original.
const ALL_NODES: usize = 6;

/// How often 6000 reads before somebody leaves.
const READS: usize = 3;

/// Who leaves.
#[derive(Clone, Copy)]
enum Leaver {
    /// 5679, as the original's text says.
    Text,
    /// 6001, as its graphs say.
    Graphs,
}

/// Runs it, with either leaver.
pub async fn run(setting: &Setting, book: &mut Book) -> Result<(), Trouble> {
    book.about.push(
        "5678 ← 5679 ← 5680 ← 5681; everything is written at 5681. Then 6001 joins 5679, 6000 joins 6001, and 6000 reads \
         everything three times. A node leaves, and 6000 reads once more. The original's text says that 5679 leaves, its \
         graphs say 6001: both are run."
            .to_owned(),
    );
    let outcome = all(setting, book).await;
    original::compare(original::THIRD, book);
    outcome
}

async fn all(setting: &Setting, book: &mut Book) -> Result<(), Trouble> {
    once(setting, setting.engine(WIDE_K, ALL_NODES), Leaver::Text, ["", "python"], book).await?;
    once(setting, setting.engine(WIDE_K, ALL_NODES), Leaver::Graphs, ["6001-leaves", "python-6001-leaves"], book)
        .await?;
    if let Some(interpreter) = &setting.python {
        let engine = || setting.yardstick(interpreter, WIDE_K);
        once(setting, engine(), Leaver::Text, ["python", ""], book).await?;
        once(setting, engine(), Leaver::Graphs, ["python-6001-leaves", ""], book).await?;
    }
    Ok(())
}

async fn once(
    setting: &Setting,
    engine: Engine,
    leaver: Leaver,
    [folder, rival]: [&str; 2],
    book: &mut Book,
) -> Result<(), Trouble> {
    let (leaves, called) = match leaver {
        Leaver::Text => (1, "5679"),
        Leaver::Graphs => (FIRST_NODES, "6001"),
    };
    let label = match engine {
        Engine::Ours { .. } => setting.overlay.label(),
        Engine::Python { .. } => "Python kademlia",
    };
    let part = book.open(folder, label, format!("{label}: {called} leaves"));
    part.about.push(format!(
        "{FIRST_NODES} nodes, then {ALL_NODES}; k = {WIDE_K}: each node that is there keeps everything. What 6000 reads for the \
         first time crosses the network, unless it was handed over when 6000 joined."
    ));
    part.rival = (!rival.is_empty() && setting.python.is_some()).then(|| rival.to_owned());

    let mut cluster = Cluster::new(engine)?;
    let mut seats = chain(FIRST_NODES);
    seats[3].role = "all written".to_owned();
    if leaves == 1 {
        seats[1].role = "leaves".to_owned();
    }
    sets::seat(&mut cluster, &seats, book, &setting.progress).await?;
    let written = sets::write(setting, &mut cluster, FIRST_NODES - 1, book).await?;
    let late = [
        Seat::new("6001", Some(1), if leaves == FIRST_NODES { "joins late, leaves" } else { "joins late" }),
        Seat::new("6000", Some(FIRST_NODES), "joins late, reads all"),
    ];
    sets::seat(&mut cluster, &late, book, &setting.progress).await?;
    for round in 1..=READS {
        sets::read(setting, &mut cluster, ALL_NODES - 1, &written, &format!("_{round}"), book).await?;
    }
    cluster.nodes[leaves].leave().await?;
    let ending = format!("_{}_after_{called}_left", READS + 1);
    sets::read(setting, &mut cluster, ALL_NODES - 1, &written, &ending, book).await
}
