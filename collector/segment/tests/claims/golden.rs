use std::path::Path;

use super::sample::{golden_files, list};

/// Made by `cargo run -p logboom-segment --example golden`; a file that stands there is never made again.
fn golden() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

#[test]
fn files_of_every_version_are_read() {
    let mut files = 0;
    for entry in std::fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            continue;
        }
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(list(&std::fs::read(&path).unwrap()), expected, "{}", path.display());
        files += 1;
    }
    assert!(files >= golden_files().len(), "{files} files");
}

#[test]
fn what_is_written_today_reads_like_the_golden_files() {
    for (name, bytes) in golden_files() {
        let expected = std::fs::read_to_string(golden().join(name).with_extension("txt")).unwrap();
        assert_eq!(list(&bytes), expected, "{name}");
    }
}
