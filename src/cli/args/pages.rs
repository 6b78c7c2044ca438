//! What is made of the command line itself: manual pages, and scripts for shells.

use crate::cli::{DAMAGED, FAILED, IN_PART, INTERRUPTED, NOT_THERE, OUT_OF_REACH, REFUSED, TIMED_OUT, WRONG_USAGE};
use clap::{Arg, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use std::collections::BTreeMap;
use std::io;

/// What the exit codes mean.
const EXIT_CODES: [(u8, &str); 10] = [
    (0, "done"),
    (FAILED, "failed, see the message"),
    (WRONG_USAGE, "wrong usage"),
    (NOT_THERE, "not there"),
    (OUT_OF_REACH, "nobody answers, or no peer runs here"),
    (DAMAGED, "a copy is damaged"),
    (IN_PART, "fewer copies than wanted"),
    (REFUSED, "refused"),
    (TIMED_OUT, "--timeout ran out"),
    (INTERRUPTED, "Ctrl-C"),
];

/// Variables that no option has.
const OF_ALL: [(&str, &str); 3] = [
    ("NO_COLOR", "Set: no colours"),
    ("XDG_CONFIG_HOME", "Where p2p/p2p.toml is, the user's settings; ~/.config where it is unset"),
    ("XDG_RUNTIME_DIR", "Where running peers are found; a private folder for temporary files where it is unset"),
];

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
    let usage = usage(command);
    let mut shown = command.clone().before_help("").disable_help_subcommand(true);
    if command.get_overridden_usage().is_none() && !command.has_subcommands() {
        shown = shown.override_usage(usage);
    }
    let mut text = Vec::new();
    let written: io::Result<()> = Man::new(shown).render(&mut text);
    written.expect("memory takes all that is written");
    for section in [exit_status(), environment(command), section(&examples)] {
        text.extend(section.into_bytes());
    }
    text
}

/// All options and arguments, with the names of their values: `p2p get [--salt SALT] KEY`.
fn usage(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let options = shown().filter(|arg| !arg.is_positional()).filter_map(option);
    let arguments = shown().filter(|arg| arg.is_positional()).map(|arg| {
        let more = if arg.get_num_args().is_some_and(|count| count.max_values() > 1) { "..." } else { "" };
        bracketed(arg, &format!("{}{more}", values(arg)))
    });
    options.chain(arguments).fold(name.to_owned(), |usage, word| usage + " " + &word)
}

/// `[-o|--output PATH]`.
fn option(arg: &Arg) -> Option<String> {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let name = short.into_iter().chain(long).collect::<Vec<_>>().join("|");
    let value = if arg.get_action().takes_values() { format!(" {}", values(arg)) } else { String::new() };
    (!name.is_empty()).then(|| bracketed(arg, &format!("{name}{value}")))
}

fn values(arg: &Arg) -> String {
    match arg.get_value_names() {
        Some(names) => names.join(" "),
        None => arg.get_id().as_str().to_uppercase(),
    }
}

fn bracketed(arg: &Arg, text: &str) -> String {
    if arg.is_required_set() { text.to_owned() } else { format!("[{text}]") }
}

/// The codes with which commands end.
fn exit_status() -> String {
    let codes = EXIT_CODES.map(|(code, meaning)| tagged(&code.to_string(), meaning));
    format!(".SH \"EXIT STATUS\"\n{}", codes.concat())
}

/// The variables that its options have, or those of its commands.
fn environment(command: &Command) -> String {
    let mut variables = BTreeMap::new();
    gather_variables(command, &mut variables);
    if command.get_name() == "p2p" {
        variables.extend(OF_ALL.map(|(name, meaning)| (name.to_owned(), meaning.to_owned())));
    }
    if variables.is_empty() {
        return String::new();
    }
    let lines: String = variables.iter().map(|(name, meaning)| tagged(name, meaning)).collect();
    format!(".SH ENVIRONMENT\n{lines}")
}

fn gather_variables(command: &Command, variables: &mut BTreeMap<String, String>) {
    for arg in command.get_arguments() {
        if let (Some(name), Some(long)) = (arg.get_env(), arg.get_long()) {
            variables.insert(name.to_string_lossy().into_owned(), format!("The same as --{long}; empty: unset"));
        }
    }
    command.get_subcommands().for_each(|inner| gather_variables(inner, variables));
}

/// A word in bold, and what it means, indented.
fn tagged(word: &str, meaning: &str) -> String {
    format!(".TP\n\\fB{}\\fR\n{}", escaped(word), line(meaning))
}

/// Examples, line by line as they are (groff_man(7)).
fn section(examples: &str) -> String {
    if examples.is_empty() {
        return String::new();
    }
    let lines: String = examples.lines().filter(|line| *line != "Examples:").map(line).collect();
    format!(".SH EXAMPLES\n.nf\n{lines}.fi\n")
}

/// A dot or a quote at the beginning of a line would be a command.
fn line(text: &str) -> String {
    format!("\\&{}\n", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
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
    fn a_synopsis_names_values() {
        let output = Arg::new("output").short('o').long("output").value_name("PATH");
        let flag = Arg::new("json").long("json").action(clap::ArgAction::SetTrue);
        let names = Arg::new("names").value_name("NAME").required(true).num_args(1..);
        let mut command = Command::new("p2p").subcommand(Command::new("request").arg(output).arg(flag).arg(names));
        command.build();
        let request = command.find_subcommand("request").unwrap();
        assert_eq!(usage(request), "p2p request [-o|--output PATH] [--json] [-h|--help] NAME...");
    }

    #[test]
    fn exit_codes_are_those_of_the_readme() {
        let readme = include_str!("../../../README.md").replace('`', "");
        let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, list) = readme.split_once("Exit codes: ").unwrap();
        for (code, meaning) in EXIT_CODES {
            assert!(list.contains(&format!("{code} {meaning}")), "{code} {meaning}");
        }
        let status = exit_status();
        assert!(status.contains(".TP\n\\fB124\\fR\n\\&\\-\\-timeout ran out\n"), "{status}");
    }

    #[test]
    fn each_command_has_a_page() {
        let command = Command::new("p2p").subcommand(Command::new("dht").subcommand(Command::new("put")));
        let files: Vec<String> = all(command).into_iter().map(|page| page.file).collect();
        assert_eq!(files, ["p2p.1", "p2p-dht.1", "p2p-dht-put.1"]);
    }
}
