//! From a file and overrides to a [`Config`], with an error that names file, line and key.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::Config;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not TOML, or a value is not what its key takes.
    #[error("{path}: {message}")]
    Invalid {
        /// The file, and the line.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// There is no such key.
    #[error("{place}: there is no key `{key}`; the nearest is `{nearest}`")]
    UnknownKey {
        /// File and line, or `--set`.
        place: String,
        /// The key as written.
        key: String,
        /// The key that is most like it.
        nearest: String,
    },
    /// An override is not `KEY=VALUE`, or its value is not what the key takes.
    #[error("--set {assignment}: {message}")]
    Override {
        /// The override as written.
        assignment: String,
        /// What is wrong.
        message: String,
    },
    /// Values are out of range.
    #[error("{}", .0.join("\n"))]
    OutOfRange(Vec<String>),
}

/// What the command line sets over the file: `(key, value)`, the value in TOML or as plain text.
pub type Overrides = Vec<(String, String)>;

/// Reads `file`, if any, puts the overrides over it, and checks every value.
///
/// # Errors
/// [`ConfigError`]; every value out of range is told, of all else the first.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
    let known = known_keys();
    let mut table = match file {
        Some(path) => read_file(path, &known)?,
        None => toml::Table::new(),
    };
    for (key, value) in overrides {
        put_override(&mut table, &known, key, value)?;
    }
    let config = table
        .try_into::<Config>()
        .map_err(|error| ConfigError::Invalid { path: "configuration".into(), message: error.message().to_owned() })?;
    let problems = config.problems();
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::OutOfRange(problems)) }
}

/// The keys are those of the defaults: there is no second list of them.
fn known_keys() -> toml::Table {
    toml::Table::try_from(Config::default()).unwrap_or_default()
}

fn read_file(path: &Path, known: &toml::Table) -> Result<toml::Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.into(), error })?;
    let invalid = |error: &toml::de::Error| ConfigError::Invalid {
        path: place(path, &text, error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    };
    let document = DeTable::parse(&text).map_err(|error| invalid(&error))?;
    if let Some((key, offset)) = unknown_key(document.get_ref(), known, "") {
        let nearest = nearest_key(&key, known);
        return Err(ConfigError::UnknownKey { place: place(path, &text, offset), key, nearest });
    }
    // Into the types once, for errors that know their line; then as a table, for the overrides.
    toml::from_str::<Config>(&text).map_err(|error| invalid(&error))?;
    toml::from_str(&text).map_err(|error| invalid(&error))
}

fn place(path: &Path, text: &str, offset: usize) -> String {
    let line = text[..offset.min(text.len())].matches('\n').count() + 1;
    format!("{}:{line}", path.display())
}

/// The first key that is not known, with its place in the text.
fn unknown_key(table: &DeTable<'_>, known: &toml::Table, prefix: &str) -> Option<(String, usize)> {
    table.iter().find_map(|(key, value)| {
        let path = format!("{prefix}{}", key.get_ref());
        match (known.get(key.get_ref().as_ref()), value.get_ref()) {
            (None, _) => Some((path, key.span().start)),
            (Some(toml::Value::Table(known)), DeValue::Table(table)) => unknown_key(table, known, &format!("{path}.")),
            (Some(_), _) => None,
        }
    })
}

fn nearest_key(wanted: &str, known: &toml::Table) -> String {
    let mut keys = Vec::new();
    collect_keys(known, "", &mut keys);
    // A key in the wrong section is near, too: compare the last part as well as the whole.
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |key: &String| {
        let whole = strsim::damerau_levenshtein(wanted, key);
        whole.min(strsim::damerau_levenshtein(&last(wanted), &last(key)) + 1)
    };
    keys.into_iter().min_by_key(distance).unwrap_or_default()
}

/// Every key and section, with its section before it.
fn collect_keys(table: &toml::Table, prefix: &str, keys: &mut Vec<String>) {
    for (key, value) in table {
        keys.push(format!("{prefix}{key}"));
        if let toml::Value::Table(section) = value {
            collect_keys(section, &format!("{prefix}{key}."), keys);
        }
    }
}

fn is_key(known: &toml::Table, path: &str) -> bool {
    match path.split_once('.') {
        Some((section, rest)) => {
            matches!(known.get(section), Some(toml::Value::Table(section)) if is_key(section, rest))
        }
        None => known.get(path).is_some_and(|value| !value.is_table()),
    }
}

fn put_override(table: &mut toml::Table, known: &toml::Table, key: &str, value: &str) -> Result<(), ConfigError> {
    if !is_key(known, key) {
        let nearest = nearest_key(key, known);
        return Err(ConfigError::UnknownKey { place: "--set".into(), key: key.into(), nearest });
    }
    let assignment = format!("{key}={value}");
    let refused = |message: &str| ConfigError::Override { assignment: assignment.clone(), message: message.to_owned() };
    // `64MiB` and `udp://...` are no TOML without quotes, which nobody wants to type: then the text is the value.
    let value = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| if parsed.len() == 1 { parsed.remove("value") } else { None })
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let section = match section {
        "" => &mut *table,
        _ => match table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new())) {
            toml::Value::Table(section) => section,
            _ => return Err(refused("its section is not a table in the file")),
        },
    };
    let mut alone = toml::Table::new();
    alone.insert(name.to_owned(), value.clone());
    if let Some((parent, _)) = key.rsplit_once('.') {
        alone = toml::Table::from_iter([(parent.to_owned(), toml::Value::Table(alone))]);
    }
    alone.try_into::<Config>().map_err(|error| refused(error.message()))?;
    section.insert(name.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogLevel, Size, Time};

    fn with_file(text: &str, overrides: &[(&str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.toml");
        std::fs::write(&path, text).unwrap();
        let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        load(Some(&path), &overrides).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(with_file("", &[]).unwrap(), Config::default());
        assert_eq!(load(None, &Vec::new()).unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
        let refused = with_file("data_dir = \"x\"\n\n[receive]\nbufer = \"1MiB\"\n", &[]).unwrap_err();
        assert!(
            refused.ends_with("test.toml:4: there is no key `receive.bufer`; the nearest is `receive.buffer`"),
            "{refused}"
        );
        let refused = with_file("[recieve]\n", &[]).unwrap_err();
        assert!(refused.contains("no key `recieve`") && refused.contains("nearest is `receive`"), "{refused}");
        let refused = with_file("block_size = \"1MiB\"\n", &[]).unwrap_err();
        assert!(refused.contains("nearest is `store.block_size`"), "{refused}");
        let refused = with_file("", &[("store.levle", "3")]).unwrap_err();
        assert_eq!(refused, "--set: there is no key `store.levle`; the nearest is `store.level`");
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_line() {
        let refused = with_file("[receive]\n\ntick = \"soon\"\n", &[]).unwrap_err();
        assert!(refused.contains("test.toml:3: `soon` is not a time"), "{refused}");
        let refused = with_file("listen = [\"udp://:514\"]\n", &[]).unwrap_err();
        assert!(refused.contains("test.toml:1: `udp://:514` is not a listen URL"), "{refused}");
        let refused = with_file("[store]\nlevel = \n", &[]).unwrap_err();
        assert!(refused.contains("test.toml:2: "), "{refused}");
        let refused = with_file("", &[("receive.tick", "soon")]).unwrap_err();
        assert!(refused.starts_with("--set receive.tick=soon: `soon` is not a time"), "{refused}");
    }

    #[test]
    fn every_value_out_of_range_is_told() {
        let refused =
            with_file("max_message = \"2MiB\"\n[store]\nlevel = 40\n[queue]\nreserve = 0.9\n", &[]).unwrap_err();
        assert_eq!(refused.lines().count(), 3, "{refused}");
        assert!(refused.contains("max_message is 2MiB, but must be 480B to 1MiB"), "{refused}");
        assert!(refused.contains("store.level is 40, but must be -7 to 19"), "{refused}");
        assert!(refused.contains("queue.reserve is 0.9, but must be 0 to 0.5"), "{refused}");
    }

    #[test]
    fn what_would_mean_nothing_or_leave_no_room_is_told() {
        let tls = "[tls]\ncert = \"a.pem\"\n";
        let refused = with_file(&format!("listen = [\"tcp://127.0.0.1:6514\"]\n{tls}"), &[]).unwrap_err();
        assert!(refused.contains("[tls] is set, but `listen` has no tls:// listener"), "{refused}");
        let keeps = |max: &str| {
            let settings = [("store.segment_size", "1MiB"), ("store.writers", "4"), ("retention.max_bytes", max)];
            with_file("", &settings)
        };
        assert!(keeps("3MiB").unwrap_err().contains("at least store.segment_size for each of store.writers"));
        assert!(keeps("4MiB").is_ok());
    }

    #[test]
    fn overrides_stand_over_the_file() {
        let config = with_file(
            "log = \"error\"\n[receive]\nthreads = 3\n",
            &[
                ("receive.tick", "0s"),
                ("receive.threads", "2"),
                ("log", "debug"),
                ("listen", "[\"udp://127.0.0.1:0\"]"),
                ("data_dir", "/srv/a = b"),
                ("queue.memory", "64MiB"),
            ],
        )
        .unwrap();
        assert_eq!((config.receive.tick, config.receive.threads), (Time::millis(0), 2));
        assert_eq!((config.log, config.queue.memory), (LogLevel::Debug, Size::mib(64)));
        assert_eq!((config.listen.len(), config.data_dir), (1, crate::config::DataDirs::One("/srv/a = b".into())));
    }

    #[test]
    fn a_missing_file_is_named() {
        let refused = load(Some(Path::new("/nonexistent/logboom.toml")), &Vec::new()).unwrap_err().to_string();
        assert!(refused.contains("/nonexistent/logboom.toml"), "{refused}");
    }
}
