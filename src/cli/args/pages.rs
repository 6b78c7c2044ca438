//! What is made of the command line itself: manual pages, and scripts for shells.

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use std::io;

/// A manual page.
pub struct Page {
    /// What its file is called: `p2p-dht-put.1`.
    pub file: String,
    /// What is in it, for `man`.
    pub text: Vec<u8>,
}

/// The script with which a shell completes our commands.
pub fn completions(mut command: Command, shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "p2p", &mut script);
    script
}

/// The page of the program.
pub fn first(mut command: Command) -> Vec<u8> {
    command.build();
    page(&command)
}

/// A page for each command.
pub fn all(mut command: Command) -> Vec<Page> {
    command.build();
    let mut pages = Vec::new();
    gather(&command, "p2p", &mut pages);
    pages
}

fn gather(command: &Command, name: &str, pages: &mut Vec<Page>) {
    pages.push(Page { file: format!("{name}.1"), text: page(command) });
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        gather(inner, &format!("{name}-{}", inner.get_name()), pages);
    }
}

fn page(command: &Command) -> Vec<u8> {
    let examples = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(command.clone().before_help("").disable_help_subcommand(true));
    let mut text = Vec::new();
    let written: io::Result<()> = man.render(&mut text);
    written.expect("memory takes all that is written");
    text.extend(section(&examples).into_bytes());
    text
}

/// Examples, line by line as they are (groff_man(7)).
fn section(examples: &str) -> String {
    if examples.is_empty() {
        return String::new();
    }
    // A dot or a quote at the beginning of a line would be a command.
    let line = |line: &str| format!("\\&{}\n", line.replace('\\', "\\e").replace('-', "\\-"));
    let lines: String = examples.lines().filter(|line| *line != "Examples:").map(line).collect();
    format!(".SH EXAMPLES\n.nf\n{lines}.fi\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_stand_as_they_are_in_a_page() {
        let section = section("Examples:\n  p2p store -\n.dot\\");
        assert_eq!(section, ".SH EXAMPLES\n.nf\n\\&  p2p store \\-\n\\&.dot\\e\n.fi\n");
    }

    #[test]
    fn each_command_has_a_page() {
        let command = Command::new("p2p").subcommand(Command::new("dht").subcommand(Command::new("put")));
        let files: Vec<String> = all(command).into_iter().map(|page| page.file).collect();
        assert_eq!(files, ["p2p.1", "p2p-dht.1", "p2p-dht-put.1"]);
    }
}
