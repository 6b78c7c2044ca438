//! Settings from files: `p2p.toml` in the folder where a command is given, and one of the user's. Above them are a flag and
//! a variable, below them the default.

use crate::cli::typos::nearest;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// What settings are called, in whichever folder.
const FILE: &str = "p2p.toml";

/// The longest file of settings. Guess: a hundred times what one needs.
const MAX_BYTES: u64 = 1 << 20;

/// A typo is that near to what was meant, in letters changed, left out or too many. Guess.
const NEAR: usize = 3;

/// How our variables begin.
const PREFIX: &str = "P2P_";

/// A variable that looks like ours and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Its name.
    pub name: String,
    /// The nearest of ours.
    pub meant: Option<String>,
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was given with the command.
    Flag,
    /// This variable of the environment.
    Variable(String),
    /// A file in the folder where the command was given.
    Project(PathBuf),
    /// The user's own file.
    User(PathBuf),
    /// Nobody said anything.
    Default,
}

/// A setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key in files, and its option without the dashes.
    pub key: String,
    /// Its value; none: it has none.
    pub value: Option<String>,
    /// Where that comes from.
    pub origin: Origin,
}

/// What the files say.
#[derive(Debug, Default)]
pub struct Files {
    said: BTreeMap<String, (String, Origin)>,
}

impl Files {
    /// Reads those that are there. Fails where one says what this command line does not know.
    pub fn read(command: &Command) -> Result<Files, String> {
        let keys = keys(command);
        let mut files = Files::default();
        // The project's after the user's, and so above it.
        for (path, origin) in [(user_file(), Origin::User as fn(_) -> _), (Some(FILE.into()), Origin::Project)] {
            if let Some(path) = path
                && let Some(text) = text_of(&path)?
            {
                let said = parse(&text, &keys).map_err(|reason| format!("{}: {reason}", path.display()))?;
                files.said.extend(said.into_iter().map(|(key, value)| (key, (value, origin(path.clone())))));
            }
        }
        Ok(files)
    }

    /// The same command line with these values in the place of its defaults.
    pub fn lay_under(&self, command: Command) -> Command {
        let command = command.mut_args(|arg| match arg.get_long().and_then(|long| self.said.get(long)) {
            Some((value, _)) if arg.get_env().is_some() => {
                // Once for each run: what clap keeps of a default lives as long as the program.
                let value: &'static str = Box::leak(value.clone().into_boxed_str());
                arg.default_value(value)
            }
            _ => arg,
        });
        command.mut_subcommands(|command| self.lay_under(command))
    }

    /// All settings of the innermost command that was given.
    pub fn settings(&self, command: &Command, matches: &ArgMatches) -> Vec<Setting> {
        match matches.subcommand() {
            Some((name, inner)) => {
                let command = command.find_subcommand(name).expect("it was matched");
                self.settings(command, inner)
            }
            None => {
                command.get_arguments().filter(|arg| is_setting(arg)).map(|arg| self.setting(arg, matches)).collect()
            }
        }
    }

    fn setting(&self, arg: &Arg, matches: &ArgMatches) -> Setting {
        let id = arg.get_id().as_str();
        let key = arg.get_long().unwrap_or(id).to_owned();
        let value = match arg.get_action().takes_values() {
            false => Some(matches.get_flag(id).to_string()),
            true => matches.get_raw(id).map(|raw| {
                let values: Vec<String> = raw.map(|value| value.to_string_lossy().into_owned()).collect();
                values.join(",")
            }),
        };
        let variable = || arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let origin = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => Origin::Flag,
            Some(ValueSource::EnvVariable) => Origin::Variable(variable()),
            _ => self.said.get(&key).map_or(Origin::Default, |(_, origin)| origin.clone()),
        };
        Setting { key, value, origin }
    }
}

/// What can be set in files: all that has a variable too, apart from secrets.
fn is_setting(arg: &Arg) -> bool {
    arg.get_env().is_some() && arg.get_long().is_some() && !arg.is_hide_env_values_set()
}

/// All settings of a command line, under their keys. Several commands may have the same one.
fn keys(command: &Command) -> BTreeMap<String, Arg> {
    let mut keys: BTreeMap<String, Arg> = command.get_subcommands().flat_map(keys).collect();
    for arg in command.get_arguments().filter(|arg| is_setting(arg)) {
        keys.insert(arg.get_long().expect("settings have one").to_owned(), arg.clone());
    }
    keys
}

/// What the environment says to us by variables that no option has, and what was perhaps meant.
pub fn strange_variables(command: &Command, names: impl Iterator<Item = OsString>) -> Vec<Stranger> {
    let known = variables(command);
    let ours = names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with(PREFIX));
    let strange = ours.filter(|name| !known.contains(name)).map(|name| {
        let meant = nearest(&name, known.iter().map(String::as_str), NEAR).map(str::to_owned);
        Stranger { name, meant }
    });
    strange.collect()
}

/// The variables of all options.
fn variables(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned));
    own.chain(command.get_subcommands().flat_map(variables)).collect()
}

fn user_file() -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join("p2p").join(FILE))
}

/// None where there is no such file; or none that we may see, as in the home of who was here before `su`.
fn text_of(path: &Path) -> Result<Option<String>, String> {
    let unread = |error| format!("{} cannot be read: {error}", path.display());
    let file = match fs::File::open(path) {
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied) =>
        {
            return Ok(None);
        }
        file => file.map_err(unread)?,
    };
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(unread)?;
    Ok(Some(text))
}

/// Reads settings; each is checked as its option would be.
fn parse(text: &str, keys: &BTreeMap<String, Arg>) -> Result<BTreeMap<String, String>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut said = BTreeMap::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        let arg = keys.get(&name).ok_or_else(|| unknown(&key, keys))?;
        let value =
            plain(&value).ok_or_else(|| format!("{key} is a text, a number, true or false, or a list of these"))?;
        check(arg, &value).map_err(|reason| format!("{key}: {reason}"))?;
        said.insert(name, value);
    }
    Ok(said)
}

fn unknown(key: &str, keys: &BTreeMap<String, Arg>) -> String {
    match nearest(key, keys.keys().map(String::as_str), NEAR) {
        Some(known) => format!("there is no setting {key}: did you mean {known}?"),
        None => format!("there is no setting {key}: p2p config show lists them all"),
    }
}

/// As it would be written behind the option.
fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        toml::Value::Array(values) => values.iter().map(plain).collect::<Option<Vec<_>>>().map(|all| all.join(",")),
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// Whether its option takes this value.
fn check(arg: &Arg, value: &str) -> Result<(), String> {
    if !arg.get_action().takes_values() {
        return value.parse::<bool>().map(drop).map_err(|_| "say true or false".to_owned());
    }
    let alone = Arg::new("value").long("value").value_parser(arg.get_value_parser().clone());
    let alone = alone.action(arg.get_action().clone()).value_delimiter(arg.get_value_delimiter());
    let tried = Command::new("p2p").arg(alone).try_get_matches_from(["p2p", &format!("--value={value}")]);
    tried.map(drop).map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().next().and_then(|line| line.split_once("'--value <value>': "));
        reason.map_or_else(|| format!("{value:?} is no value for it"), |(_, reason)| reason.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let option = |name: &'static str, variable: &'static str| Arg::new(name).long(name).env(variable);
        let number = clap::value_parser!(u8).range(1..=16);
        Command::new("p2p").subcommand(
            Command::new("init")
                .arg(option("replicas", "P2P_UNSET_REPLICAS").value_parser(number).default_value("3"))
                .arg(option("bootstrap", "P2P_UNSET_BOOTSTRAP").value_delimiter(','))
                .arg(option("kademlia", "P2P_UNSET_KADEMLIA").action(clap::ArgAction::SetTrue))
                .arg(option("seed", "P2P_UNSET_SEED").hide_env_values(true))
                .arg(Arg::new("json").long("json").action(clap::ArgAction::SetTrue)),
        )
    }

    fn said(text: &str) -> Result<Files, String> {
        let said = parse(text, &keys(&command()))?;
        let origin = Origin::Project(FILE.into());
        Ok(Files { said: said.into_iter().map(|(key, value)| (key, (value, origin.clone()))).collect() })
    }

    fn settings(text: &str, words: &[&str]) -> Vec<(String, Option<String>, Origin)> {
        let files = said(text).unwrap();
        let mut command = files.lay_under(command());
        let matches = command.try_get_matches_from_mut([&["p2p", "init"], words].concat()).unwrap();
        let all = files.settings(&command, &matches).into_iter();
        all.map(|setting| (setting.key, setting.value, setting.origin)).collect()
    }

    #[test]
    fn a_flag_is_above_a_file_and_a_file_above_the_default() {
        let project = || Origin::Project(FILE.into());
        let of = |key: &str, value: Option<&str>, origin| (key.to_owned(), value.map(str::to_owned), origin);
        assert_eq!(
            settings("replicas = 5\nkademlia = true\nbootstrap = ['a:1', 'b:2']", &[]),
            [
                of("replicas", Some("5"), project()),
                of("bootstrap", Some("a:1,b:2"), project()),
                of("kademlia", Some("true"), project())
            ]
        );
        assert_eq!(
            settings("replicas = 5", &["--replicas", "4"]),
            [
                of("replicas", Some("4"), Origin::Flag),
                of("bootstrap", None, Origin::Default),
                of("kademlia", Some("false"), Origin::Default)
            ]
        );
    }

    #[test]
    fn what_is_no_setting_is_refused_with_what_was_perhaps_meant() {
        let refused = |text| said(text).map(drop).unwrap_err();
        assert_eq!(refused("replica = 5"), "there is no setting replica: did you mean replicas?");
        assert_eq!(refused("colour = 5"), "there is no setting colour: p2p config show lists them all");
        assert!(refused("json = true").contains("there is no setting"), "only what has a variable");
        assert!(refused("seed = 'secret'").contains("there is no setting"), "no secrets in files");
        assert!(refused("[replicas]\na = 1").contains("is a text, a number"));
        assert!(refused("replicas = ").contains("TOML"));
    }

    #[test]
    fn a_variable_that_no_option_has_is_strange() {
        let names = ["P2P_UNSET_REPLICA", "P2P_UNSET_SEED", "P2P_DANCE", "PATH"].into_iter().map(OsString::from);
        let stranger = |name: &str, meant: Option<&str>| Stranger { name: name.into(), meant: meant.map(Into::into) };
        assert_eq!(
            strange_variables(&command(), names),
            [stranger("P2P_UNSET_REPLICA", Some("P2P_UNSET_REPLICAS")), stranger("P2P_DANCE", None)]
        );
    }

    #[test]
    fn values_are_checked_as_those_of_options_are() {
        let refused = |text| said(text).map(drop).unwrap_err();
        assert!(refused("replicas = 17").starts_with("replicas: 17 is not in 1..=16"), "{}", refused("replicas = 17"));
        assert!(refused("replicas = 'many'").starts_with("replicas: "));
        assert_eq!(refused("kademlia = 'on'"), "kademlia: say true or false");
    }
}
