//! Fields of packets.

use super::{ProtocolError, Result, VERSION};

/// Writes a packet.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new(verb: u8) -> Self {
        Self { bytes: vec![VERSION, verb] }
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// What is longer than `most` is cut there: a name for people must not keep a message from being sent. Where it may
    /// not be cut the reader's bound is the writer's duty.
    pub(super) fn bytes(&mut self, value: &[u8], most: usize) {
        let value = value.get(..most).unwrap_or(value);
        self.u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        self.bytes.extend_from_slice(value);
    }

    /// As `bytes`, and never cut within a character.
    pub(super) fn text(&mut self, value: &str, most: usize) {
        self.bytes(value.get(..value.floor_char_boundary(most)).unwrap_or(value).as_bytes(), most);
    }

    /// A list; what is above `most` entries is left out.
    pub(super) fn list<T>(&mut self, entries: &[T], most: usize, mut write: impl FnMut(&mut Self, &T)) {
        let entries = entries.get(..most).unwrap_or(entries);
        self.u16(u16::try_from(entries.len()).unwrap_or(u16::MAX));
        entries.iter().for_each(|entry| write(self, entry));
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads a packet's fields in their order.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ProtocolError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ProtocolError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// 0 or 1; nothing else, so that a packet has one form.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ProtocolError::Field(name)),
        }
    }

    pub(super) fn bytes(&mut self, name: &'static str, most: usize) -> Result<&'a [u8]> {
        let length = usize::from(self.u16()?);
        if length > most {
            return Err(ProtocolError::Field(name));
        }
        self.take(length)
    }

    pub(super) fn text(&mut self, name: &'static str, most: usize) -> Result<&'a str> {
        let bytes = self.bytes(name, most)?;
        std::str::from_utf8(bytes).map_err(|_not_text| ProtocolError::Field(name))
    }

    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        most: usize,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = usize::from(self.u16()?);
        if count > most {
            return Err(ProtocolError::Field(name));
        }
        (0..count).map(|_| read(self)).collect()
    }

    /// Everything was read.
    pub(super) fn end(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(ProtocolError::Long) }
    }
}
