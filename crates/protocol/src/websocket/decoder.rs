use std::borrow::Cow;

use super::header::{ClientHeader, Opcode};
use super::partial::{OpenFrame, Partial};
use super::{FrameError, Input, Message};

/// What one message of a client may cost. Checked on every header, before anything is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The longest message in bytes, all its fragments together.
    ///
    /// Default 1,000,000. A connection may hold this much for each message that it is sending.
    pub message_len_max: usize,
    /// The most fragments of one message, empty ones included.
    ///
    /// Default 1,024. Fragments are joined as they come: raising it costs time and no memory.
    pub fragments_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_len_max: 1_000_000,
            fragments_max: 1_024,
        }
    }
}

/// Makes messages of the bytes that a client sends, in whatever pieces they are read.
///
/// One pointer while nothing is half-read. While a frame or a fragmented message is incomplete it
/// holds what has arrived of it, and never reserves room for what was only announced.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    pub(super) partial: Option<Box<Partial>>,
}

impl FrameDecoder {
    /// A decoder at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next message from the front of `input`, unmasking in place.
    ///
    /// Call it until it returns `None`: then all of `input` is consumed. After an error the
    /// connection must be closed: what follows on it cannot be understood.
    pub fn decode<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &Limits,
    ) -> Result<Option<Message<'a>>, FrameError> {
        while !input.is_empty() {
            let (header, received) = match self.open_frame() {
                Some(open) => open,
                None => match self.take_header(input)? {
                    Some(header) => {
                        self.admit(&header, limits)?;
                        (header, 0)
                    }
                    None => return Ok(None),
                },
            };
            let missing = usize::try_from(header.payload_len - received).unwrap_or(usize::MAX);
            let payload = input.take(missing);
            header.mask.apply(payload, received);
            if let Some(message) = self.take_frame(&header, received, payload)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Whether a frame or a fragmented message is incomplete, and so whether memory is held.
    ///
    /// A client that stays in this state must be given a deadline.
    pub fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// The frame whose payload is incomplete, and how much of it there is.
    fn open_frame(&mut self) -> Option<(ClientHeader, u64)> {
        let open = self.partial.as_mut()?.frame.take()?;
        Some((open.header, open.received))
    }

    /// Reads a header, of which earlier input may have held the beginning.
    fn take_header(&mut self, input: &mut Input<'_>) -> Result<Option<ClientHeader>, FrameError> {
        let Some(stash) = self.partial.as_mut().map(|partial| &mut partial.stash) else {
            return self.take_whole_header(input);
        };
        if stash.len == 0 {
            return self.take_whole_header(input);
        }

        let known = stash.len;
        stash.fill(input.as_slice());
        let header = ClientHeader::decode(stash.as_slice())?;
        if let Some(header) = &header {
            // What was known before did not make a header, so this one ends in the input.
            input.take(header.len - known);
            stash.len = 0;
        } else {
            input.take(input.len());
        }
        Ok(header)
    }

    fn take_whole_header(
        &mut self,
        input: &mut Input<'_>,
    ) -> Result<Option<ClientHeader>, FrameError> {
        let header = ClientHeader::decode(input.as_slice())?;
        if let Some(header) = &header {
            input.take(header.len);
        } else {
            let beginning = input.take(input.len());
            self.partial_mut().stash.fill(beginning);
        }
        Ok(header)
    }

    /// Refuses a frame that must not come now or costs too much.
    fn admit(&mut self, header: &ClientHeader, limits: &Limits) -> Result<(), FrameError> {
        let message = self
            .partial
            .as_mut()
            .and_then(|partial| partial.message.as_mut());
        let len = match (header.opcode, message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => return Ok(()),
            (Opcode::Continuation, None) => return Err(FrameError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(FrameError::InterruptedMessage),
            (Opcode::Text | Opcode::Binary, None) => header.payload_len,
            (Opcode::Continuation, Some(message)) => {
                if message.fragments >= limits.fragments_max {
                    return Err(FrameError::TooManyFragments {
                        fragments_max: limits.fragments_max,
                    });
                }
                message.fragments += 1;
                header
                    .payload_len
                    .saturating_add(message.bytes.len() as u64)
            }
        };
        let len_max = limits.message_len_max;
        if len > len_max as u64 {
            return Err(FrameError::MessageTooLong { len, len_max });
        }
        Ok(())
    }

    /// Takes what there is of a frame's payload; a message if that makes one complete.
    fn take_frame<'a>(
        &mut self,
        header: &ClientHeader,
        received: u64,
        payload: &'a [u8],
    ) -> Result<Option<Message<'a>>, FrameError> {
        let missing = header.payload_len - received;
        let is_whole = payload.len() as u64 == missing;
        let begins = received == 0 && header.opcode != Opcode::Continuation;
        if is_whole && begins && header.is_final {
            self.release();
            return Message::decode(header.opcode, Cow::Borrowed(payload)).map(Some);
        }

        let partial = self.partial_mut();
        if !is_whole {
            partial.frame = Some(OpenFrame {
                header: *header,
                received: received + payload.len() as u64,
            });
        }
        // A frame of which only the header has come may yet be whole in the next input.
        if is_whole || !payload.is_empty() {
            partial
                .buffer(header.opcode)
                .append(payload, header.is_final.then_some(missing));
        }
        if !is_whole || !header.is_final {
            return Ok(None);
        }
        let assembly = partial.finish(header.opcode);
        self.release();
        Message::decode(assembly.opcode, Cow::Owned(assembly.bytes)).map(Some)
    }

    fn partial_mut(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }

    /// Gives the memory back once there is nothing half-read.
    fn release(&mut self) {
        if self
            .partial
            .as_ref()
            .is_some_and(|partial| partial.is_empty())
        {
            self.partial = None;
        }
    }
}
