//! Images and strings are written at one node and read at another; each takes its row when it is done.

use super::Setting;
use super::book::{Book, IMAGE_READ, IMAGE_WRITE, TEXT_READ, TEXT_WRITE};
use super::cluster::{Cluster, Thing, Written};
use super::material::Material;
use super::progress::Progress;
use super::topology::Seat;
use crate::web::schema::Trouble;

/// Where images or strings are written and read.
#[derive(Clone, Copy, Debug)]
pub struct Roles {
    /// The node that writes.
    pub writer: usize,
    /// The node that reads.
    pub reader: Reader,
}

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    /// This one.
    At(usize),
    /// Of those who did not write it, the one that keeps the fewest parts of it itself.
    Without,
}

/// What was written, beside each thing of the material.
pub struct Writings {
    images: Vec<Written>,
    texts: Vec<Written>,
}

/// What shall be done with a network.
pub struct Plan<'p> {
    /// Who joins whom.
    pub seats: &'p [Seat],
    /// Where images go, if they do.
    pub images: Option<Roles>,
    /// Where strings go, if they do.
    pub texts: Option<Roles>,
}

/// Starts nodes, and notes who joined whom.
pub async fn seat(cluster: &mut Cluster, seats: &[Seat], book: &mut Book, progress: &Progress) -> Result<(), Trouble> {
    let bar = progress.bar("starting nodes", seats.len());
    for seat in seats {
        cluster.start(seat.joins, &[]).await?;
        book.last().seats.push(seat.clone());
        bar.inc(1);
    }
    Ok(())
}

/// The whole of it: nodes, images, strings.
pub async fn run(setting: &Setting, cluster: &mut Cluster, plan: &Plan<'_>, book: &mut Book) -> Result<(), Trouble> {
    seat(cluster, plan.seats, book, &setting.progress).await?;
    let material = &setting.material;
    if let Some(roles) = plan.images {
        let written = write_all(setting, cluster, roles.writer, &images(material), book).await?;
        read_all(setting, cluster, roles, (&images(material), &written), "", book).await?;
    }
    if let Some(roles) = plan.texts {
        let written = write_all(setting, cluster, roles.writer, &texts(material), book).await?;
        read_all(setting, cluster, roles, (&texts(material), &written), "", book).await?;
    }
    Ok(())
}

/// Writes all images and strings at one node.
pub async fn write(
    setting: &Setting,
    cluster: &mut Cluster,
    writer: usize,
    book: &mut Book,
) -> Result<Writings, Trouble> {
    let images = write_all(setting, cluster, writer, &images(&setting.material), book).await?;
    let texts = write_all(setting, cluster, writer, &texts(&setting.material), book).await?;
    Ok(Writings { images, texts })
}

/// Reads all of them at one node, into files with this at the end of their names.
pub async fn read(
    setting: &Setting,
    cluster: &mut Cluster,
    reader: usize,
    written: &Writings,
    ending: &str,
    book: &mut Book,
) -> Result<(), Trouble> {
    // Nobody is looked for, so it does not matter who wrote.
    let roles = Roles { writer: reader, reader: Reader::At(reader) };
    read_all(setting, cluster, roles, (&images(&setting.material), &written.images), ending, book).await?;
    read_all(setting, cluster, roles, (&texts(&setting.material), &written.texts), ending, book).await
}

fn images(material: &Material) -> Vec<Thing<'_>> {
    material.images.iter().map(Thing::Image).collect()
}

fn texts(material: &Material) -> Vec<Thing<'_>> {
    material.texts.iter().map(Thing::Text).collect()
}

async fn write_all(
    setting: &Setting,
    cluster: &mut Cluster,
    writer: usize,
    things: &[Thing<'_>],
    book: &mut Book,
) -> Result<Vec<Written>, Trouble> {
    let bar = setting.progress.bar("writing", things.len());
    let mut all = Vec::new();
    for thing in things {
        let written = cluster.nodes[writer].write(*thing).await?;
        let millis = written.took.as_secs_f64() * 1e3;
        let (chunks, bytes) = (written.chunks as f64, written.bytes as f64);
        let part = book.last();
        match thing {
            Thing::Image(image) => part
                .table(&format!("{}.csv", IMAGE_WRITE.0), "images written", IMAGE_WRITE.1)
                .push(&image.name, [image.len_bytes as f64, chunks, image.len_bytes as f64 / chunks, bytes, millis]),
            Thing::Text(text) => part
                .table(&format!("{}.csv", TEXT_WRITE.0), "strings written", TEXT_WRITE.1)
                .push(&text.key, [text.value.len() as f64, millis]),
        }
        all.push(written);
        bar.inc(1);
    }
    Ok(all)
}

async fn read_all(
    setting: &Setting,
    cluster: &mut Cluster,
    roles: Roles,
    (things, written): (&[Thing<'_>], &[Written]),
    ending: &str,
    book: &mut Book,
) -> Result<(), Trouble> {
    let bar = setting.progress.bar(&format!("reading {}", ending.trim_matches('_')), things.len());
    let mut seen = Seen::default();
    for (thing, written) in things.iter().zip(written) {
        let (reader, held) = reader(cluster, roles, *thing, written).await?;
        bar.inc(1);
        let got = match cluster.nodes[reader].read(*thing).await {
            Ok(got) => got,
            Err(trouble) => {
                seen.failed.push(format!("{}: {}", name_of(thing), trouble.message));
                continue;
            }
        };
        let millis = got.took.as_secs_f64() * 1e3;
        let part = book.last();
        match thing {
            Thing::Image(image) => part
                .table(&format!("{}{ending}.csv", IMAGE_READ.0), "images read", IMAGE_READ.1)
                .push(&image.name, [image.len_bytes as f64, got.chunks as f64, millis]),
            Thing::Text(text) => part
                .table(&format!("{}{ending}.csv", TEXT_READ.0), "strings read", TEXT_READ.1)
                .push(&text.key, [text.value.len() as f64, millis]),
        }
        seen.own += usize::from(got.own);
        seen.held += held;
        seen.parts += written.chunks;
        if !got.right {
            seen.failed.push(format!("{}: what came is not what was written", name_of(thing)));
        }
    }
    seen.tell(things, ending, book);
    Ok(())
}

/// What is told of reads beside their times.
#[derive(Default)]
struct Seen {
    own: usize,
    held: usize,
    parts: usize,
    failed: Vec<String>,
}

impl Seen {
    fn tell(self, things: &[Thing], ending: &str, book: &mut Book) {
        let (what, whole) = match things.first() {
            Some(Thing::Image(_)) => ("images", things.len()),
            Some(Thing::Text(_)) => ("strings", things.len()),
            None => return,
        };
        let read = if ending.is_empty() { "read".to_owned() } else { format!("read ({})", ending.trim_matches('_')) };
        let part = book.last();
        part.notes.push(format!("{read}: {} of {whole} {what} came back right", whole - self.failed.len()));
        if self.parts > 0 {
            let share = 100.0 * self.held as f64 / self.parts as f64;
            part.notes.push(format!("{read}: of {share:.0} % of the {what}' parts the reader was a keeper itself"));
        }
        if self.own > 0 {
            part.notes.push(format!("{read}: {} of {whole} {what} came from the reader's own store", self.own));
        }
        part.failures.extend(self.failed);
    }
}

fn name_of<'t>(thing: &'t Thing<'_>) -> &'t str {
    match thing {
        Thing::Image(image) => &image.name,
        Thing::Text(text) => &text.key,
    }
}

/// Who reads it, and of how many of its parts it is a keeper.
async fn reader(
    cluster: &mut Cluster,
    roles: Roles,
    thing: Thing<'_>,
    written: &Written,
) -> Result<(usize, usize), Trouble> {
    let candidates: Vec<usize> = match roles.reader {
        Reader::At(reader) => vec![reader],
        Reader::Without => (0..cluster.nodes.len()).filter(|node| *node != roles.writer).collect(),
    };
    let mut best: Option<(usize, usize)> = None;
    for node in candidates {
        let held = cluster.nodes[node].held(thing, written).await?;
        if best.is_none_or(|(_, fewest)| held < fewest) {
            best = Some((node, held));
        }
    }
    Ok(best.expect("a network has two nodes at least"))
}
