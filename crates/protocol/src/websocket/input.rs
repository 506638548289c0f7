use std::mem;

/// What was just read from a socket. The decoder takes frames off its front, unmasking in place.
#[derive(Debug)]
pub struct Input<'a>(&'a mut [u8]);

impl<'a> From<&'a mut [u8]> for Input<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Input<'a> {
    /// How many bytes have not been taken yet.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all of it has been taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.0
    }

    /// Takes `len` bytes off the front, or all there are.
    pub(super) fn take(&mut self, len: usize) -> &'a mut [u8] {
        let len = len.min(self.0.len());
        let (front, rest) = mem::take(&mut self.0).split_at_mut(len);
        self.0 = rest;
        front
    }
}
