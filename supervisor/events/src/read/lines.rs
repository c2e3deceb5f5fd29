//! Lines of a file that may still grow.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

/// Longest line that is kept, in bytes. A longer one is no event of ours, and is passed on cut.
const MAX_LINE: usize = 16 << 20;

/// One line without its newline.
pub(super) struct Line<'a> {
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
}

/// Reads lines; at the end of the file it can be asked again.
#[derive(Debug)]
pub(super) struct Lines {
    file: File,
    buffer: Vec<u8>,
    /// Where the unread part of `buffer` begins.
    start: usize,
    /// How much of the unread part is known to hold no newline.
    searched: usize,
    /// Offset in the file of `start`.
    offset: u64,
    /// Within a line that is too long and was already passed on.
    skipping: bool,
}

impl Lines {
    pub(super) fn new(file: File) -> Self {
        Self { file, buffer: Vec::new(), start: 0, searched: 0, offset: 0, skipping: false }
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// What follows the last whole line, with its offset: a torn line, or one that is being written.
    pub(super) fn rest(&self) -> Option<Line<'_>> {
        let bytes = self.buffer.get(self.start..).filter(|rest| !rest.is_empty() && !self.skipping)?;
        Some(Line { offset: self.offset, bytes })
    }

    /// The next line that is not blank. At the end of the file a rest without newline is a line if
    /// `finished`, else it waits for more.
    pub(super) fn next(&mut self, finished: bool) -> io::Result<Option<Line<'_>>> {
        loop {
            let unread = self.buffer.get(self.start..).unwrap_or_default();
            let newline = unread.iter().skip(self.searched).position(|b| *b == b'\n');
            let len = match newline.map(|at| at + self.searched) {
                Some(len) => len,
                None if unread.len() >= MAX_LINE && !self.skipping => unread.len(),
                None => {
                    self.searched = unread.len();
                    if self.fill()? {
                        continue;
                    }
                    if !finished || self.searched == 0 {
                        return Ok(None);
                    }
                    self.searched
                }
            };
            let (from, offset, whole) = (self.start, self.offset, newline.is_some());
            self.start += len + usize::from(whole);
            self.offset += u64::try_from(len).unwrap_or_default() + u64::from(whole);
            self.searched = 0;
            let skip = std::mem::replace(&mut self.skipping, !whole && len >= MAX_LINE);
            if !skip && len > 0 {
                let bytes = self.buffer.get(from..from + len).unwrap_or_default();
                return Ok(Some(Line { offset, bytes }));
            }
        }
    }

    /// Reads more; false at the end of the file. A file that was cut short is read again from its start.
    fn fill(&mut self) -> io::Result<bool> {
        if self.skipping {
            self.offset += u64::try_from(self.searched).unwrap_or_default();
            self.start += std::mem::take(&mut self.searched);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let had = self.buffer.len();
        self.buffer.resize(had + (1 << 16), 0);
        let read = loop {
            match self.file.read(self.buffer.get_mut(had..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(had + read.as_ref().map_or(0, |n| *n));
        if read? > 0 {
            return Ok(true);
        }
        let position = self.offset + u64::try_from(had).unwrap_or_default();
        if self.file.metadata()?.len() >= position {
            return Ok(false);
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.buffer.clear();
        (self.searched, self.offset, self.skipping) = (0, 0, false);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn all(lines: &mut Lines, finished: bool) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        while let Some(line) = lines.next(finished).unwrap() {
            found.push((line.offset, line.bytes.to_vec()));
        }
        found
    }

    fn scratch() -> (tempfile::NamedTempFile, Lines) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = Lines::new(file.reopen().unwrap());
        (file, lines)
    }

    #[test]
    fn lines_come_whole_and_with_their_offsets() {
        let (mut file, mut lines) = scratch();
        file.write_all(b"one\n\ntwo\nthr").unwrap();
        assert_eq!(all(&mut lines, false), [(0, b"one".to_vec()), (5, b"two".to_vec())]);
        file.write_all(b"ee\nfour").unwrap();
        assert_eq!(all(&mut lines, false), [(9, b"three".to_vec())]);
        assert_eq!(all(&mut lines, true), [(15, b"four".to_vec())]);
        assert_eq!(all(&mut lines, true), []);
    }

    #[test]
    fn a_file_cut_short_is_read_from_its_start() {
        let (mut file, mut lines) = scratch();
        file.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(all(&mut lines, false).len(), 2);
        file.as_file().set_len(0).unwrap();
        file.as_file_mut().seek(SeekFrom::Start(0)).unwrap();
        file.write_all(b"new\n").unwrap();
        assert_eq!(all(&mut lines, false), [(0, b"new".to_vec())]);
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let (mut file, mut lines) = scratch();
        let long = vec![b'x'; 3 * MAX_LINE];
        file.write_all(&long).unwrap();
        file.write_all(b"\nnext\n").unwrap();
        let found = all(&mut lines, true);
        assert_eq!(found.len(), 2);
        assert!((MAX_LINE..MAX_LINE + (1 << 16)).contains(&found[0].1.len()));
        assert_eq!(found[1], (u64::try_from(long.len()).unwrap() + 1, b"next".to_vec()));
        assert!(lines.buffer.capacity() < 3 * MAX_LINE);
    }
}
