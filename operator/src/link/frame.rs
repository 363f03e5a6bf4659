//! Frames of HTTP/2 (RFC 9113, section 4). Pure.

/// What a client sends first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub(super) const HEAD: usize = 9;
/// The longest payload that a peer may send which was not told otherwise, in bytes.
pub(super) const LONGEST: usize = 16_384;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// Of DATA and HEADERS: nothing of the stream follows.
pub(super) const END_STREAM: u8 = 0x1;
/// Of SETTINGS and PING: an answer to the peer's own.
pub(super) const ACK: u8 = 0x1;
/// Of HEADERS and CONTINUATION: the block is whole.
pub(super) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

pub(super) const SETTING_HEADER_TABLE_SIZE: u16 = 1;
pub(super) const SETTING_ENABLE_PUSH: u16 = 2;
pub(super) const SETTING_INITIAL_WINDOW_SIZE: u16 = 4;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

/// A frame that no peer may send.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame that is no HTTP/2")]
pub(super) struct Malformed;

impl<'a> Frame<'a> {
    /// The first frame of `bytes` and what follows it; None while it is not whole.
    pub(super) fn first(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, Malformed> {
        let Some((&[l0, l1, l2, kind, flags, s0, s1, s2, s3], rest)) = bytes.split_first_chunk::<HEAD>()
        else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        if length > LONGEST {
            return Err(Malformed);
        }
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
        Ok(rest.split_at_checked(length).map(|(payload, rest)| (Self { kind, flags, stream, payload }, rest)))
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The content of DATA or HEADERS, without padding and priority.
    pub(super) fn content(&self) -> Result<&'a [u8], Malformed> {
        let mut content = self.payload;
        if self.has(PADDED) {
            let (padding, rest) = content.split_first().ok_or(Malformed)?;
            let kept = rest.len().checked_sub(usize::from(*padding)).ok_or(Malformed)?;
            content = &rest[..kept];
        }
        if self.kind == HEADERS && self.has(PRIORITY) {
            content = content.get(5..).ok_or(Malformed)?;
        }
        Ok(content)
    }

    /// The number of 32 bits at `at`.
    pub(super) fn number(&self, at: usize) -> Result<u32, Malformed> {
        let bytes = self.payload.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Malformed)
    }

    /// Names and values of SETTINGS.
    pub(super) fn settings(&self) -> impl Iterator<Item = (u16, u32)> + 'a {
        self.payload.chunks_exact(6).map(|setting| {
            let name = u16::from_be_bytes([setting[0], setting[1]]);
            (name, u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]))
        })
    }

    /// Appends the frame to `out`.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes()[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(self.payload);
    }
}

/// Appends SETTINGS to `out`.
pub(super) fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let payload = settings.iter().flat_map(|(name, value)| {
        let ([n0, n1], [v0, v1, v2, v3]) = (name.to_be_bytes(), value.to_be_bytes());
        [n0, n1, v0, v1, v2, v3]
    });
    let payload: Vec<u8> = payload.collect();
    Frame { kind: SETTINGS, flags: 0, stream: 0, payload: &payload }.put(out);
}

#[cfg(test)]
mod tests {
    use super::{DATA, END_STREAM, Frame, HEADERS, LONGEST, Malformed, PADDED, PRIORITY};

    #[test]
    fn a_frame_is_read_once_it_is_whole() {
        let frame = Frame { kind: DATA, flags: END_STREAM, stream: 7, payload: b"abc" };
        let mut bytes = Vec::new();
        frame.put(&mut bytes);
        bytes.push(9);
        for end in 0..bytes.len() - 1 {
            assert_eq!(Frame::first(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(Frame::first(&bytes), Ok(Some((frame, &[9][..]))));
        let too_long = u32::try_from(LONGEST + 1).expect("short").to_be_bytes();
        bytes[..3].copy_from_slice(&too_long[1..]);
        assert_eq!(Frame::first(&bytes), Err(Malformed));
    }

    #[test]
    fn padding_and_priority_are_no_content() {
        let content = |kind, flags, payload| Frame { kind, flags, stream: 1, payload }.content();
        assert_eq!(content(DATA, 0, b"abc"), Ok(&b"abc"[..]));
        assert_eq!(content(DATA, PADDED, &[2, b'a', 0, 0]), Ok(&b"a"[..]));
        assert_eq!(content(HEADERS, PADDED | PRIORITY, &[1, 0, 0, 0, 0, 0, b'a', 0]), Ok(&b"a"[..]));
        assert_eq!(content(DATA, PADDED, &[3, b'a', 0]), Err(Malformed));
        assert_eq!(content(HEADERS, PRIORITY, &[0; 4]), Err(Malformed));
    }
}
