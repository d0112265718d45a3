use std::path::Path;

use logboom::config::{Config, load};

use super::support::logboom;

const ANNOTATED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/logboom.toml");

#[test]
fn the_annotated_configuration_is_the_default_one_and_names_every_key() {
    let text = std::fs::read_to_string(ANNOTATED).unwrap();
    assert_eq!(load(Some(Path::new(ANNOTATED)), &Vec::new()).unwrap(), Config::default());
    let annotated: toml::Table = text.parse().unwrap();
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    assert_eq!(keys(&annotated), keys(&defaults));
}

fn keys(table: &toml::Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(section) => keys.extend(section.keys().map(|name| format!("{key}.{name}"))),
            _ => keys.push(key.clone()),
        }
    }
    keys
}

#[test]
fn every_configuration_file_here_is_valid() {
    for entry in std::fs::read_dir(Path::new(ANNOTATED).parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let checked = logboom().args(["check-config", "--config"]).arg(&path).output().unwrap();
            assert!(checked.status.success(), "{}: {checked:?}", path.display());
        }
    }
}
