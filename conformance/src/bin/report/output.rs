//! Where the report goes: to the standard output line by line, and at the end into a file.

use std::io::{self, Write};
use std::path::PathBuf;

/// Prints something. Whoever asked may have read enough and gone, as `head` does.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    print_to(&mut io::stdout().lock(), write)
}

fn print_to(out: &mut dyn Write, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    match write(out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// The report so far. It is Markdown.
#[derive(Default)]
pub(crate) struct Output {
    text: Vec<u8>,
    file: Option<PathBuf>,
}

impl Output {
    /// A report for the standard output alone, or for a file too.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self { text: Vec::new(), file }
    }

    /// What was written so far.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Saves a picture beside the report, and shows it there; nothing without a file.
    pub(crate) fn picture(&mut self, about: &str, svg: &str) -> io::Result<()> {
        let Some(path) = self.file.as_ref().map(|file| file.with_extension("svg")) else { return Ok(()) };
        std::fs::write(&path, svg)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        writeln!(self, "![{about}]({name})\n")
    }

    /// Writes the file, if there is one.
    pub(crate) fn save(&self) -> io::Result<()> {
        match &self.file {
            Some(file) => std::fs::write(file, [self.text.trim_ascii_end(), b"\n"].concat()),
            None => Ok(()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = io::stdout().write(bytes)?;
        self.text.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    #[test]
    fn nobody_has_to_read_it_all() {
        for list in [args::list, args::compared] {
            let (reader, mut writer) = io::pipe().unwrap();
            drop(reader);
            print_to(&mut writer, list).unwrap();
            let mut all = Vec::new();
            print_to(&mut all, list).unwrap();
            assert!(all.ends_with(b"\n"));
        }
        // What else goes wrong is told.
        let full = |_: &mut dyn Write| Err(io::ErrorKind::StorageFull.into());
        assert_eq!(print_to(&mut Vec::new(), full).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
