//! The yardstick: PyPI's `kademlia`, each node in a process of its own, told what to do by lines of JSON.

use super::cluster::{Got, Thing, Written};
use super::failed;
use super::process::Process;
use crate::web::schema::Trouble;
use serde_json::{Value, json};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::time::timeout;

/// Which version is the yardstick: the last one in 2026.
pub const VERSION: &str = "2.2.3";

/// What runs each node.
const DRIVER: &str = include_str!("../../../bench/python_kademlia/driver.py");

/// How long one thing may take. Guess: ten times the largest image.
const WAITS: Duration = Duration::from_secs(300);

/// How long the installation may take. Guess: five small packages.
const INSTALLATION_WAITS: Duration = Duration::from_secs(180);

/// A node of the yardstick.
pub struct Python {
    /// Its process.
    pub process: Process,
    /// Where it listens, UDP.
    pub port: u16,
    input: pipe::Sender,
    lines: super::process::Lines,
}

impl Python {
    /// Starts one. It has joined, if it knows somebody.
    pub async fn start(
        interpreter: &Path,
        root: &Path,
        k: usize,
        port: u16,
        known: Option<u16>,
    ) -> Result<Python, Trouble> {
        let driver = root.join("driver.py");
        fs::write(&driver, DRIVER).map_err(failed)?;
        let mut command = Command::new(interpreter);
        command.arg(driver).arg(k.to_string()).arg(port.to_string()).args(known.map(|known| known.to_string()));
        command.current_dir(root).stdin(Stdio::piped());
        command.stderr(fs::File::create(root.join(format!("python-{port}.log"))).map_err(failed)?);
        let (mut process, lines) = Process::start(&mut command)?;
        let input = process.input()?;
        let mut node = Python { process, port, input, lines };
        node.answer().await?;
        Ok(node)
    }

    /// Has something kept.
    pub async fn write(&mut self, thing: Thing<'_>) -> Result<Written, Trouble> {
        let answer = match thing {
            Thing::Image(image) => {
                self.ask(&json!({"do": "set_image", "name": image.name, "path": image.path})).await?
            }
            Thing::Text(text) => self.ask(&json!({"do": "set", "key": text.key, "value": text.value})).await?,
        };
        let (chunks, bytes) = (number(&answer, "chunks"), number(&answer, "bytes"));
        Ok(Written { took: seconds(&answer), chunks, bytes, holders: Vec::new() })
    }

    /// Reads it, and compares.
    pub async fn read(&mut self, thing: Thing<'_>) -> Result<Got, Trouble> {
        let answer = match thing {
            Thing::Image(image) => {
                self.ask(&json!({"do": "get_image", "name": image.name, "path": image.path})).await?
            }
            Thing::Text(text) => self.ask(&json!({"do": "get", "key": text.key, "value": text.value})).await?,
        };
        let right = answer["right"] == Value::Bool(true);
        Ok(Got { took: seconds(&answer), chunks: number(&answer, "chunks"), right, own: false })
    }

    /// Of how many parts it is a keeper.
    pub async fn held(&mut self, thing: Thing<'_>, chunks: usize) -> Result<usize, Trouble> {
        let (name, image) = match thing {
            Thing::Image(image) => (&image.name, true),
            Thing::Text(text) => (&text.key, false),
        };
        let answer = self.ask(&json!({"do": "held", "name": name, "chunks": chunks, "image": image})).await?;
        Ok(number(&answer, "held"))
    }

    /// Stops it: the library knows no goodbye.
    pub async fn leave(&mut self) -> Result<(), Trouble> {
        self.process.kill();
        Ok(())
    }

    async fn ask(&mut self, wish: &Value) -> Result<Value, Trouble> {
        self.input.write_all(format!("{wish}\n").as_bytes()).await.map_err(gone)?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Value, Trouble> {
        let mut line = String::new();
        let late = |_| failed(format!("a Python node has not answered within {WAITS:?}"));
        timeout(WAITS, self.lines.read_line(&mut line)).await.map_err(late)?.map_err(gone)?;
        serde_json::from_str(&line).map_err(|_| gone("it said nothing more"))
    }
}

fn gone(why: impl ToString) -> Trouble {
    failed(format!("a Python node ended: {}", why.to_string()))
}

fn seconds(answer: &Value) -> Duration {
    Duration::try_from_secs_f64(answer["seconds"].as_f64().unwrap_or_default()).unwrap_or_default()
}

fn number(answer: &Value, name: &str) -> usize {
    answer[name].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
}

/// Installs the yardstick where it is not yet, in a folder of the cache alone. Returns its interpreter.
pub async fn install() -> Result<PathBuf, Trouble> {
    let folder = cache()?.join(format!("p2p/python_kademlia-{VERSION}"));
    let interpreter = folder.join("bin").join("python");
    let check = ["-c", "import kademlia"];
    if run(Command::new(&interpreter).args(check)).await.is_ok() {
        return Ok(interpreter);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).await?;
    let package = format!("kademlia=={VERSION}");
    let options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&interpreter).args(options).arg(package)).await?;
    run(Command::new(&interpreter).args(check)).await?;
    Ok(interpreter)
}

fn cache() -> Result<PathBuf, Trouble> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".cache"));
    absolute("XDG_CACHE_HOME").or_else(home).ok_or_else(|| failed("there is no cache folder: set XDG_CACHE_HOME"))
}

/// Runs it to its end.
async fn run(command: &mut Command) -> Result<(), Trouble> {
    let shown = format!(
        "{} {}",
        command.get_program().display(),
        command.get_args().map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ")
    );
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let (mut process, mut lines) = Process::start(command)?;
    let end = async {
        let mut line = String::new();
        while lines.read_line(&mut line).await.is_ok_and(|len| len > 0) {
            line.clear();
        }
    };
    timeout(INSTALLATION_WAITS, end)
        .await
        .map_err(|_| failed(format!("{shown}: not done in {INSTALLATION_WAITS:?}")))?;
    if process.succeeded() { Ok(()) } else { Err(failed(format!("{shown} failed"))) }
}
