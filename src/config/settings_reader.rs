//! The configuration parser: a TOML file and the environment to settings, reporting all faults
//! together.
//!
//! Knows the type of each key, not its meaning; `config` checks which settings fit together.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigFault;
use super::secret_file::SecretFile;
use super::settings_table::{self, KEYS, NOT_OFFERED, SettingDefinition, SettingType};
use crate::domain::{AccountSlug, input_cleanup, spelling_suggestions};

/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum SettingValue {
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<String>),
    Duration(Duration),
}

/// The settings, and where each was set.
#[derive(Debug, Default)]
pub(super) struct Settings {
    found: BTreeMap<String, (SettingValue, String)>,
    pub(super) faults: Vec<ConfigFault>,
    /// Sentences about files with secrets that others may read.
    pub(super) exposed: Vec<String>,
}

impl Settings {
    /// Reads the file, then the environment, which takes precedence. Defaults fill the rest.
    pub(super) fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let mut settings = Self::default();
        if let Some(path) = file {
            match read_text(path, FILE_BYTES_MAX) {
                Ok(text) => settings.read_file(path, &text),
                Err(fault) => settings.fault(
                    path.display().to_string(),
                    "",
                    format!("the configuration cannot be read: {fault}; give another --config"),
                ),
            }
        }
        // Keys are sorted by name; faults are listed in the order of the file's lines.
        settings.faults.sort_by_key(ConfigFault::line);
        settings.read_environment(environment);
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            if let Some(setting) = default_of(key) {
                let default = || (setting, "default".to_owned());
                settings.found.entry(key.path()).or_insert_with(default);
            }
        }
        settings
    }

    fn read_file(&mut self, path: &Path, text: &str) {
        let place = |at: usize| {
            let line = text.get(..at).unwrap_or(text).matches('\n').count() + 1;
            format!("{}:{line}", path.display())
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            self.fault(place(at), "", error.message().to_owned());
        }
        for (section, body) in table.get_ref() {
            let name = section.get_ref().as_ref();
            let known = KEYS.iter().any(|key| key.section == name)
                || NOT_OFFERED.iter().any(|key| key.section == name);
            match body.get_ref() {
                DeValue::Table(keys) if known => {
                    for (key, value) in keys {
                        self.read_key(name, key, value, &place);
                    }
                }
                DeValue::Table(_) => {
                    let sections = KEYS.iter().map(|key| key.section);
                    let sentence =
                        format!("there is no section `[{name}]`{}", nearest(name, sections));
                    self.fault(place(section.span().start), name, sentence);
                }
                _ => self.fault(
                    place(section.span().start),
                    name,
                    format!(
                        "`{name}` is outside every section: put it under one, such as `[decision]`"
                    ),
                ),
            }
        }
    }

    fn read_key(
        &mut self,
        section: &str,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        place: &impl Fn(usize) -> String,
    ) {
        let at = place(name.span().start);
        let path = format!("{section}.{}", name.get_ref());
        let text = match value.get_ref() {
            DeValue::Boolean(flag) => flag.to_string(),
            other => other.as_str().unwrap_or_default().to_owned(),
        };
        if let Some(refused) = settings_table::refused(section, name.get_ref(), &text) {
            return refused.map_or((), |why| self.fault(at, &path, format!("`{path}` {why}")));
        }
        let Some(key) = KEYS.iter().find(|key| key.path() == path) else {
            let names = KEYS.iter().filter(|key| key.section == section).map(|key| key.name);
            let sentence = format!("there is no key `{path}`{}", nearest(name.get_ref(), names));
            return self.fault(at, &path, sentence);
        };
        match of_toml(key, value.get_ref()) {
            Ok(setting) => {
                self.found.insert(path, (setting, at));
            }
            Err(sentence) => self.fault(at, &path, format!("`{path}` {sentence}")),
        }
    }

    fn read_environment(&mut self, environment: impl Iterator<Item = (String, String)>) {
        let ours = environment.filter(|(name, _)| name.starts_with("KWIC_TEAM_"));
        let ours: BTreeMap<String, String> = ours.collect();
        for key in KEYS.iter().filter(|key| key.is_secret()) {
            let (direct, file) = (key.variable(), format!("{}_FILE", key.variable()));
            if ours.contains_key(&direct) && ours.contains_key(&file) {
                let sentence = format!("`{direct}` and `{file}` are both set: unset one");
                self.fault(direct, &key.path(), sentence);
            }
        }
        for (variable, value) in ours {
            let refused = NOT_OFFERED.iter().find(|key| key.variable() == variable);
            if let Some(key) = refused {
                if let Some(Some(why)) =
                    settings_table::refused(key.section, key.name, value.trim())
                {
                    let path = format!("{}.{}", key.section, key.name);
                    self.fault(variable.clone(), &path, format!("`{variable}` {why}"));
                }
                continue;
            }
            let direct = KEYS.iter().find(|key| key.variable() == variable);
            let from_file = || {
                let name = variable.strip_suffix("_FILE")?;
                KEYS.iter().find(|key| key.is_secret() && key.variable() == name)
            };
            let (key, value) = match (direct, from_file()) {
                (Some(key), _) => (key, value),
                (None, Some(key)) => match SecretFile::read(Path::new(&value)) {
                    Ok(secret) => {
                        // Mounted secrets are often readable for all, so this is not a fault.
                        if let Some(mode) = secret.exposed {
                            self.exposed.push(format!(
                                "others may read `{value}`, which `{variable}` names (mode {mode:04o}): run `chmod 600 {value}`"
                            ));
                        }
                        (key, secret.text.trim_end().to_owned())
                    }
                    Err(why) => {
                        let sentence = format!("`{value}` {why}");
                        self.fault(variable, &key.path(), sentence);
                        continue;
                    }
                },
                (None, None) => {
                    let names: Vec<String> = KEYS.iter().map(SettingDefinition::variable).collect();
                    let near = match nearest(&variable, names.iter().map(String::as_str)) {
                        near if near.is_empty() => ": correct or unset it".to_owned(),
                        near => near,
                    };
                    let sentence = format!("unknown setting `{variable}`{near}");
                    self.fault(variable, "", sentence);
                    continue;
                }
            };
            match of_text(key, &value) {
                Ok(setting) => {
                    self.found.insert(key.path(), (setting, variable));
                }
                Err(sentence) => {
                    let path = key.path();
                    self.fault(variable.clone(), &path, format!("`{variable}` {sentence}"));
                }
            }
        }
    }

    pub(super) fn fault(&mut self, place: String, key: &str, message: String) {
        self.faults.push(ConfigFault { place, key: key.to_owned(), message });
    }

    /// Adds a fault of a key, at the place where it is set.
    pub(super) fn fault_of(&mut self, path: &str, message: impl Into<String>) {
        let place = self.found.get(path).map_or_else(String::new, |(_, place)| place.clone());
        self.fault(place, path, format!("`{path}` {}", message.into()));
    }

    /// Whether a key was set in the configuration file.
    pub(super) fn is_in_file(&self, path: &str) -> bool {
        self.found.get(path).is_some_and(|(_, place)| place.contains(':'))
    }

    fn get(&self, path: &str) -> Option<&SettingValue> {
        // A key that is not in this table is refused as unknown in every configuration file.
        assert!(KEYS.iter().any(|key| key.path() == path), "{path}");
        self.found.get(path).map(|(setting, _)| setting)
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        match self.get(path) {
            Some(SettingValue::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn path(&self, path: &str) -> Option<PathBuf> {
        self.text(path).map(|text| absolute(text.into()))
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        matches!(self.get(path), Some(SettingValue::Bool(true)))
    }

    pub(super) fn list(&self, path: &str) -> Vec<String> {
        match self.get(path) {
            Some(SettingValue::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    }

    pub(super) fn duration(&self, path: &str) -> Duration {
        match self.get(path) {
            Some(SettingValue::Duration(duration)) => *duration,
            _ => Duration::ZERO,
        }
    }

    /// A number; its range was checked when it was parsed.
    pub(super) fn number<T: TryFrom<i64> + Default>(&self, path: &str) -> T {
        match self.get(path) {
            Some(SettingValue::Number(number)) => T::try_from(*number).unwrap_or_default(),
            _ => T::default(),
        }
    }
}

/// An absolute path, from the working folder at the start: a relative one would follow a folder
/// that is moved, and a restart would find another one.
#[must_use]
pub fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// The default, parsed like a file.
fn default_of(key: &SettingDefinition) -> Option<SettingValue> {
    let text = format!("{} = {}", key.name, key.default);
    let table = DeTable::parse(&text).ok()?;
    of_toml(key, table.get_ref().values().next()?.get_ref()).ok()
}

fn of_toml(key: &SettingDefinition, value: &DeValue<'_>) -> Result<SettingValue, String> {
    match (key.takes, value) {
        (SettingType::Bool, DeValue::Boolean(flag)) => Ok(SettingValue::Bool(*flag)),
        (SettingType::Number(..), DeValue::Integer(number)) => {
            let radix = number.radix();
            let number = i64::from_str_radix(number.as_str(), radix);
            number.map_err(|_| wanted(key)).and_then(|number| in_bounds(key, number))
        }
        (SettingType::List, DeValue::Array(items)) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned).ok_or_else(|| wanted(key)))
            .collect::<Result<_, _>>()
            .map(SettingValue::List),
        (SettingType::Bool | SettingType::Number(..) | SettingType::List, _) => Err(wanted(key)),
        (_, DeValue::String(text)) => of_text(key, text),
        _ => Err(wanted(key)),
    }
}

/// A value that is written as text: in quotes, or in the environment.
fn of_text(key: &SettingDefinition, text: &str) -> Result<SettingValue, String> {
    let text = text.trim();
    let refuse = || Err(wanted(key));
    match key.takes {
        SettingType::Bool => text.parse().map(SettingValue::Bool).map_err(|_| wanted(key)),
        SettingType::Number(..) => {
            text.parse().map_err(|_| wanted(key)).and_then(|number| in_bounds(key, number))
        }
        SettingType::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(SettingValue::List(items.map(str::to_owned).collect()))
        }
        SettingType::Duration => {
            duration(text).map(SettingValue::Duration).ok_or_else(|| wanted(key))
        }
        SettingType::Mode => match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
            Ok(mode) if mode <= 0o777 => Ok(SettingValue::Number(mode.into())),
            _ => refuse(),
        },
        SettingType::Word(words) if !words.contains(&text) => refuse(),
        SettingType::Address if text.parse::<std::net::SocketAddr>().is_err() => refuse(),
        SettingType::Slug if AccountSlug::parse(text).is_err() => refuse(),
        SettingType::Text | SettingType::Secret | SettingType::Path if text.is_empty() => {
            Err("is empty: leave the key out, or set it".to_owned())
        }
        _ => Ok(SettingValue::Text(text.to_owned())),
    }
}

fn in_bounds(key: &SettingDefinition, number: i64) -> Result<SettingValue, String> {
    match key.takes {
        SettingType::Number(least, most) if !(least..=most).contains(&number) => Err(wanted(key)),
        _ => Ok(SettingValue::Number(number)),
    }
}

/// The expected form.
fn wanted(key: &SettingDefinition) -> String {
    match key.takes {
        SettingType::Bool => "must be `true` or `false`".to_owned(),
        SettingType::Number(least, most) => {
            format!("must be a whole number from {least} to {most}")
        }
        SettingType::Text | SettingType::Secret | SettingType::Path => {
            "must be text in quotes".to_owned()
        }
        SettingType::List => "must be a list of strings, such as `[\"a\", \"b\"]`".to_owned(),
        SettingType::Word([word]) => format!("must be `{word}`"),
        SettingType::Word(words) => format!("must be one of `{}`", words.join("`, `")),
        SettingType::Duration => {
            "must be a time such as `\"72h\"`, `\"30m\"` or `\"15s\"`".to_owned()
        }
        SettingType::Mode => "must be permissions in octal, such as `\"0660\"`".to_owned(),
        SettingType::Address => {
            "must be an address and a port, such as `\"127.0.0.1:8181\"`".to_owned()
        }
        SettingType::Slug => "must be an account's slug: `a-z`, `0-9` and `-`".to_owned(),
    }
}

/// A duration such as `72h`, `30m` or `15s`; `None` if it is invalid.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, seconds) = match text.char_indices().next_back()? {
        (at, 's') => (text.get(..at)?, 1),
        (at, 'm') => (text.get(..at)?, 60),
        (at, 'h') => (text.get(..at)?, 3_600),
        (at, 'd') => (text.get(..at)?, 86_400),
        _ => return None,
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// The text of a file, with a size limit: a device may be endless.
fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        return input_cleanup::text(&bytes)
            .map(str::to_owned)
            .map_err(|why| io::Error::other(format!("it {why}")));
    }
    Err(io::Error::other(format!("it is larger than {} KiB", most >> 10)))
}

/// `: did you mean ...?`, if there is a similar name.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    spelling_suggestions::nearest(name, known)
        .map_or_else(String::new, |known| format!(": did you mean `{known}`?"))
}
