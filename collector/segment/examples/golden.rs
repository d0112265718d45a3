//! Makes the golden files of the current version of the format, where there are none yet: `tests/golden`.

#[path = "../tests/claims/sample.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "it is made for the tests, which use the rest")]
mod sample;

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (name, bytes) in sample::golden_files() {
        let path = golden.join(name);
        if path.exists() {
            println!("{} is there and stays", path.display());
            continue;
        }
        std::fs::write(&path, &bytes)?;
        std::fs::write(path.with_extension("txt"), sample::list(&bytes))?;
        println!("{} made", path.display());
    }
    Ok(())
}
