//! Files that loadgen wrote, read again.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::{RUNTIME_ERROR, USAGE};
use crate::report::SCHEMA;

/// Largest report that is read, MiB.
const FILE_MIB_MAX: u64 = 64;

/// A run of any version of this schema, as it stands in the file: not all of its fields need be known.
///
/// # Errors
/// What is wrong with it, and the exit code.
pub(super) fn read_run(path: &Path) -> Result<Value, (u8, String)> {
    let run = read_json(path)?;
    match &run["schema"] {
        Value::String(schema) if schema == SCHEMA => Ok(run),
        schema => Err((USAGE, format!("{}: schema {schema}, but a run has {SCHEMA:?}", path.display()))),
    }
}

/// What stands in a file of a bounded size.
///
/// # Errors
/// What is wrong with it, and the exit code.
pub(super) fn read_json(path: &Path) -> Result<Value, (u8, String)> {
    let failed = |error: std::io::Error| (RUNTIME_ERROR, format!("cannot read {}: {error}", path.display()));
    let unusable = |error: String| (USAGE, format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let limit = FILE_MIB_MAX << 20;
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(unusable(format!("it is larger than {FILE_MIB_MAX} MiB, the most that is read of a file")));
    }
    serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))
}
