//! Where lines are typed and printed: a terminal with a line editor, or plain streams.

use super::completing::Completing;
use super::speech;
use super::tell::Line;
use super::terminal;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor, ExternalPrinter};
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

const PROMPT: &str = "> ";

/// The longest line read from a stream, in bytes; a path has at most 4096.
const MAX_LINE_BYTES: usize = 8192;

/// What came from the keyboard.
pub enum Typed {
    /// A line.
    Line(String),
    /// A line that is no text, or endless.
    Garbled,
    /// Ctrl-C.
    Interrupt,
    /// Nothing more will come.
    End,
}

/// Where lines come from.
pub enum Keyboard {
    /// A terminal.
    Editor(Box<Editor<Completing, DefaultHistory>>),
    /// A pipe, a file, or a terminal too simple for an editor.
    Stream,
}

/// Where lines go; its clones print to the same place.
#[derive(Clone)]
pub struct Screen(Arc<Mutex<Surface>>);

enum Surface {
    /// Lines appear above the prompt and what is half typed.
    AbovePrompt(Box<dyn ExternalPrinter + Send>),
    /// Each line has the prompt before it.
    Stream,
}

/// The console this program was started at.
pub fn open(completing: Completing) -> (Keyboard, Screen) {
    let (keyboard, surface) = editor(completing).unwrap_or((Keyboard::Stream, Surface::Stream));
    (keyboard, Screen(Arc::new(Mutex::new(surface))))
}

/// An editor, where both sides are a terminal that can be edited on.
fn editor(completing: Completing) -> Option<(Keyboard, Surface)> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return None;
    }
    terminal::remember();
    let config = Config::builder().auto_add_history(true).bracketed_paste(false);
    let config = config.completion_type(CompletionType::List).build();
    let mut editor = Editor::with_config(config).ok()?;
    editor.set_helper(Some(completing));
    let printer = editor.create_external_printer().ok()?;
    Some((Keyboard::Editor(Box::new(editor)), Surface::AbovePrompt(Box::new(printer))))
}

impl Keyboard {
    /// Whether somebody sits there, who sees what was answered before typing on.
    pub fn is_attended(&self) -> bool {
        matches!(self, Keyboard::Editor(_))
    }

    /// Waits for the next line.
    pub fn next(&mut self) -> Typed {
        match self {
            Keyboard::Editor(editor) => match editor.readline(PROMPT) {
                Ok(line) => Typed::Line(line),
                Err(ReadlineError::Interrupted | ReadlineError::Signal(rustyline::error::Signal::Interrupt)) => {
                    Typed::Interrupt
                }
                Err(ReadlineError::Signal(_)) => Typed::Line(String::new()),
                Err(_) => Typed::End,
            },
            Keyboard::Stream => read_line(&mut io::stdin().lock()),
        }
    }
}

/// Reads a line without keeping more than [`MAX_LINE_BYTES`] of it.
fn read_line(stream: &mut impl BufRead) -> Typed {
    let mut line = Vec::new();
    let mut complete = true;
    loop {
        let Ok(chunk) = stream.fill_buf() else { return Typed::End };
        if chunk.is_empty() && line.is_empty() && complete {
            return Typed::End;
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        complete &= line.len() + part.len() <= MAX_LINE_BYTES;
        if complete {
            line.extend_from_slice(part);
        }
        let last = end.is_some() || chunk.is_empty();
        let consumed = end.map_or(chunk.len(), |end| end + 1);
        stream.consume(consumed);
        if last {
            break;
        }
    }
    match String::from_utf8(line) {
        Ok(line) if complete => Typed::Line(line),
        _ => Typed::Garbled,
    }
}

impl Screen {
    /// Clears what is seen, where somebody sees it.
    pub fn clear(&self) {
        let mut surface = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Surface::AbovePrompt(printer) = &mut *surface {
            let _ = printer.print("\x1b[H\x1b[2J\n".to_owned());
        }
    }

    /// Prints a line at once. Where nobody reads any more, it is lost and the peer lives on.
    pub fn print(&self, line: &Line) {
        let mut surface = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *surface, line) {
            (Surface::AbovePrompt(_), Line::Aside(text)) if !io::stderr().is_terminal() => speech::aside(text),
            (Surface::AbovePrompt(printer), Line::Out(text) | Line::Aside(text)) => {
                let _ = printer.print(format!("{text}\n"));
            }
            (Surface::Stream, Line::Out(text)) => {
                let mut out = io::stdout().lock();
                let _ = writeln!(out, "{PROMPT}{text}").and_then(|()| out.flush());
            }
            (Surface::Stream, Line::Aside(text)) => speech::aside(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(stream: &mut impl BufRead) -> String {
        match read_line(stream) {
            Typed::Line(line) => line,
            Typed::Garbled => "GARBLED".to_owned(),
            Typed::Interrupt => unreachable!("streams have no keys"),
            Typed::End => "END".to_owned(),
        }
    }

    #[test]
    fn streams_are_read_line_by_line_to_a_last_one_without_newline() {
        let mut stream = io::Cursor::new(b"Store 4103\n\nQuit".to_vec());
        assert_eq!([(); 4].map(|()| typed(&mut stream)), ["Store 4103", "", "Quit", "END"]);
    }

    #[test]
    fn garbled_and_endless_lines_spoil_only_themselves() {
        let mut text = b"\xff\xfe\n".to_vec();
        text.extend(vec![b'x'; 100_000]);
        text.extend(b"\nQuit\n");
        let mut stream = io::Cursor::new(text);
        assert_eq!([(); 4].map(|()| typed(&mut stream)), ["GARBLED", "GARBLED", "Quit", "END"]);
    }
}
