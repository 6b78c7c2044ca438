//! A process of ours: it ends with whoever started it, by its number.

use super::failed;
use crate::web::schema::Trouble;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::task;

/// A running process. Dropped, it is killed and gone.
pub struct Process(Child);

/// What it prints, line by line.
pub type Lines = BufReader<pipe::Receiver>;

impl Process {
    /// Starts it apart from our terminal, whose Ctrl-C is for us to hear. Its output can be read.
    pub fn start(command: &mut Command) -> Result<(Process, Lines), Trouble> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| failed(format!("cannot start {program}: {error}")))?;
        let output = child.stdout.take().expect("it was piped just above");
        let process = Process(child);
        let lines = pipe::Receiver::from_owned_fd(OwnedFd::from(output)).map_err(failed)?;
        Ok((process, BufReader::new(lines)))
    }

    /// Where it reads, if that was piped.
    pub fn input(&mut self) -> Result<pipe::Sender, Trouble> {
        let input = self.0.stdin.take().ok_or_else(|| failed("the process reads nothing"))?;
        pipe::Sender::from_owned_fd(OwnedFd::from(input)).map_err(failed)
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Whether it ends well, once it has closed its output.
    pub fn succeeded(&mut self) -> bool {
        self.0.wait().is_ok_and(|status| status.success())
    }

    /// Kills it (SIGKILL), and waits until it is gone.
    pub fn kill(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads until a line has these words. What follows is read and dropped, so that nobody waits for us.
pub async fn wait_for(mut lines: Lines, words: &str) -> Result<(), Trouble> {
    let mut last = String::new();
    loop {
        let mut line = String::new();
        match lines.read_line(&mut line).await {
            Ok(0) | Err(_) => return Err(failed(format!("a peer ended before it had joined: {}", last.trim()))),
            Ok(_) if line.contains(words) => break,
            Ok(_) => last = line,
        }
    }
    drain(lines);
    Ok(())
}

/// Reads and drops all that comes.
pub fn drain(mut lines: Lines) {
    task::spawn(async move {
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).await.is_ok_and(|len| len > 0) {
            line.clear();
        }
    });
}
