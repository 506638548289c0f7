use std::fmt;

use crate::redacted::Redacted;

use super::header::{ClientHeader, Opcode};

/// What is half-read.
#[derive(Debug, Default)]
pub(super) struct Partial {
    /// The beginning of a header that the end of an input cut.
    pub(super) stash: Stash,
    /// The frame whose payload is incomplete.
    pub(super) frame: Option<OpenFrame>,
    /// The payload of an incomplete control frame, which may come between two fragments.
    pub(super) control: Option<Assembly>,
    /// The message whose frames are incomplete.
    pub(super) message: Option<Assembly>,
}

impl Partial {
    pub(super) fn buffer(&mut self, opcode: Opcode) -> &mut Assembly {
        self.slot(opcode)
            .get_or_insert_with(|| Assembly::new(opcode))
    }

    pub(super) fn finish(&mut self, opcode: Opcode) -> Assembly {
        self.slot(opcode)
            .take()
            .unwrap_or_else(|| Assembly::new(opcode))
    }

    pub(super) fn slot(&mut self, opcode: Opcode) -> &mut Option<Assembly> {
        if opcode.is_control() {
            &mut self.control
        } else {
            &mut self.message
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stash.len == 0
            && self.frame.is_none()
            && self.control.is_none()
            && self.message.is_none()
    }
}

#[derive(Debug, Default)]
pub(super) struct Stash {
    pub(super) bytes: [u8; ClientHeader::LEN_MAX],
    pub(super) len: usize,
}

impl Stash {
    /// Takes as much of `input` as there is room for.
    pub(super) fn fill(&mut self, input: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let len = input.len().min(room.len());
        room[..len].copy_from_slice(&input[..len]);
        self.len += len;
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[derive(Debug)]
pub(super) struct OpenFrame {
    pub(super) header: ClientHeader,
    pub(super) received: u64,
}

/// A message in the making.
pub(super) struct Assembly {
    pub(super) opcode: Opcode,
    pub(super) bytes: Vec<u8>,
    pub(super) fragments: usize,
}

impl Assembly {
    pub(super) fn new(opcode: Opcode) -> Self {
        Self {
            opcode,
            bytes: Vec::new(),
            fragments: 1,
        }
    }

    /// Adds bytes; `missing` says how many the message still lacks, where that is known.
    ///
    /// Doubling keeps a payload that comes byte by byte linear, and the room taken never exceeds
    /// twice what has arrived.
    pub(super) fn append(&mut self, payload: &[u8], missing: Option<u64>) {
        if self.bytes.capacity() - self.bytes.len() < payload.len() {
            let doubled = self.bytes.len().max(payload.len());
            let missing = missing.and_then(|missing| usize::try_from(missing).ok());
            self.bytes
                .reserve_exact(missing.map_or(doubled, |missing| doubled.min(missing)));
        }
        self.bytes.extend_from_slice(payload);
    }
}

impl fmt::Debug for Assembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembly")
            .field("opcode", &self.opcode)
            .field("bytes", &Redacted(self.bytes.len()))
            .field("fragments", &self.fragments)
            .finish()
    }
}
