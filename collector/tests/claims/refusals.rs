use std::path::Path;
use std::process::Output;

use super::support::{Collector, logboom};

/// Runs a collector that must not start, in an empty directory; its one line, and what it left behind.
fn refused(arguments: &[&str], data: &Path) -> String {
    let output: Output = logboom()
        .args(["run", "--admin", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .args(["--set", "receive.threads=1", "--set", "store.writers=1"])
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{stderr}");
    assert!(output.stdout.is_empty());
    stderr
}

fn refused_leaving_nothing(arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let stderr = refused(arguments, &data);
    assert!(!data.exists(), "half-started: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

#[test]
fn a_taken_port_names_the_port_and_the_setting() {
    let collector = Collector::start(&[]);
    let udp = format!("udp://{}", collector.udp);
    let told = refused_leaving_nothing(&["--listen", &udp]);
    assert!(told.contains(&format!("{udp} (listen): port {} is taken", collector.udp.port())), "{told}");
    let admin = collector.admin.to_string();
    let told = refused_leaving_nothing(&["--listen", "udp://127.0.0.1:0", "--set", &format!("admin.listen={admin}")]);
    assert!(told.contains("(admin.listen): port"), "{told}");
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let collector = Collector::start(&[]);
    let told = refused(&["--listen", "udp://127.0.0.1:0"], &collector.data());
    assert!(told.contains("(data_dir) is in use by another collector"), "{told}");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused() {
    let told = refused(&["--listen", "udp://127.0.0.1:0"], Path::new("/proc/logboom-data"));
    assert!(told.contains("cannot make the data directory /proc/logboom-data (data_dir)"), "{told}");
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    let told = refused_leaving_nothing(&["--set", "receive.tikc=1ms"]);
    assert!(told.contains("no key `receive.tikc`; the nearest is `receive.tick`"), "{told}");
}

#[test]
fn a_bad_url_is_told_why() {
    let told = refused_leaving_nothing(&["--listen", "udp://localhost"]);
    assert!(told.contains("`udp://localhost` is not a listen URL"), "{told}");
}

#[test]
fn an_address_of_another_machine_is_refused() {
    let told = refused_leaving_nothing(&["--listen", "udp://192.0.2.1:5514"]);
    assert!(told.contains("no interface of this machine has the address 192.0.2.1"), "{told}");
}

#[test]
fn a_pool_too_small_for_the_threads_says_how_much_is_needed() {
    let told = refused_leaving_nothing(&["--listen", "udp://127.0.0.1:0", "--set", "queue.memory=8MiB"]);
    assert!(told.contains("raise queue.memory to"), "{told}");
}

#[test]
fn a_missing_configuration_file_is_named() {
    let told = refused_leaving_nothing(&["--config", "/nonexistent/logboom.toml"]);
    assert!(told.contains("/nonexistent/logboom.toml"), "{told}");
}

#[test]
fn reading_what_is_not_there_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let run = |path: &Path| {
        let output = logboom().arg("cat").arg(path).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = run(directory.path());
    assert!(code == Some(2) && told.contains("there are no segments in"), "{told}");
    let (code, told) = run(&directory.path().join("missing"));
    assert!(code == Some(2) && told.contains("missing"), "{told}");
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "not a segment").unwrap();
    let (code, told) = run(&text);
    assert!(code == Some(2) && told.contains("not a logboom segment"), "{told}");
}
