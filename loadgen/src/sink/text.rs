//! The text sink's file: a line for each message, as a script tells.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::{Script, Take, Taken};

pub(super) struct Lines {
    file: BufWriter<File>,
    bytes: u64,
    script: Script,
}

impl Lines {
    pub(super) fn create(path: &Path, script: Script) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create(path)?), bytes: 0, script })
    }
}

impl Take for Lines {
    fn take(&mut self, message: &[u8]) -> io::Result<()> {
        let Self { file, bytes, script } = self;
        script.apply(message, |line| write_line(file, bytes, line))
    }

    /// Whoever reads the file meanwhile sees what has come.
    fn end_batch(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn finish(self, taken: &mut Taken) -> io::Result<()> {
        let Self { mut file, mut bytes, script } = self;
        taken.script = Some(script.finish(|line| write_line(&mut file, &mut bytes, line))?);
        taken.stored_bytes = bytes;
        file.flush()
    }
}

fn write_line(file: &mut impl Write, bytes: &mut u64, line: &[u8]) -> io::Result<()> {
    *bytes += line.len() as u64 + 1;
    file.write_all(line)?;
    file.write_all(b"\n")
}
