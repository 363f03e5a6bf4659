//! One client's side of an HTTP/2 connection on which one call at a time is made. Pure: takes and gives bytes.
//!
//! Between two calls it holds nothing but a few numbers.

use http::HeaderMap;

use super::{
    frame::{
        self, ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, RST_STREAM,
        SETTING_ENABLE_PUSH, SETTING_HEADER_TABLE_SIZE, SETTING_INITIAL_WINDOW_SIZE, SETTINGS, WINDOW_UPDATE,
    },
    hpack,
};

/// The window of a connection and of a stream of which nothing else was said (RFC 9113, section 6.9.2).
const WINDOW: i64 = 65_535;
/// After so many bytes the peer may send as many more.
const ACKNOWLEDGE: u32 = 16_384;
/// The longest header block that is read, in bytes.
const LONGEST_BLOCK: usize = 16_384;
const LAST_STREAM: u32 = 0x7fff_ffff;

/// Why a call was not answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Frame(#[from] frame::Malformed),
    #[error(transparent)]
    Block(#[from] hpack::Malformed),
    #[error("the peer does not keep to HTTP/2: {0}")]
    Protocol(&'static str),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("the peer is going away")]
    GoingAway,
    #[error("the peer gave the call up with error {0}")]
    Reset(u32),
}

/// A whole answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: HeaderMap,
    pub(super) data: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

/// An answer as far as it has come.
#[derive(Debug)]
struct Call {
    stream: u32,
    limit: usize,
    answer: Option<Answer>,
    /// A header block that is not whole yet, and whether the stream ends with it.
    block: Option<(Vec<u8>, bool)>,
    ended: bool,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Session {
    out: Vec<u8>,
    /// Part of a frame.
    unread: Vec<u8>,
    next_stream: u32,
    /// How much may be sent still: on the connection, and on a new stream.
    window: i64,
    stream_window: i64,
    /// How much was received since the peer was told that it may send more.
    received: u32,
    going_away: bool,
    call: Option<Call>,
}

impl Session {
    /// A new connection. Its first bytes go out with the first call.
    pub(super) fn new() -> Self {
        let mut out = frame::PREFACE.to_vec();
        frame::put_settings(&mut out, &[(SETTING_HEADER_TABLE_SIZE, 0), (SETTING_ENABLE_PUSH, 0)]);
        Self {
            out,
            unread: Vec::new(),
            next_stream: 1,
            window: WINDOW,
            stream_window: WINDOW,
            received: 0,
            going_away: false,
            call: None,
        }
    }

    /// Whether another call of so many bytes can be made.
    pub(super) fn takes(&self, length: usize) -> bool {
        let fits = i64::try_from(length).is_ok_and(|length| length <= self.window.min(self.stream_window));
        fits && !self.going_away && self.next_stream < LAST_STREAM
    }

    /// Begins a call. `head` and `body` must fit into a frame each; the answer's data may have `limit` bytes.
    pub(super) fn begin(&mut self, head: &[u8], body: &[u8], limit: usize) {
        let stream = self.next_stream;
        self.next_stream += 2;
        self.window -= i64::try_from(body.len()).unwrap_or(i64::MAX);
        Frame { kind: HEADERS, flags: END_HEADERS, stream, payload: head }.put(&mut self.out);
        Frame { kind: DATA, flags: END_STREAM, stream, payload: body }.put(&mut self.out);
        self.call = Some(Call { stream, limit, answer: None, block: None, ended: false });
    }

    /// What is to be sent.
    pub(super) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The answer, once it is whole.
    pub(super) fn take_answer(&mut self) -> Option<Answer> {
        self.call.take_if(|call| call.ended)?.answer
    }

    /// Takes what was received.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(bytes);
        let mut rest = unread.as_slice();
        while let Some((frame, after)) = Frame::first(rest)? {
            self.take(&frame)?;
            rest = after;
        }
        self.unread = rest.to_vec();
        Ok(())
    }

    fn take(&mut self, frame: &Frame<'_>) -> Result<(), SessionError> {
        let whose = self.call.as_ref().filter(|call| call.stream == frame.stream);
        if whose.is_some_and(|call| call.block.is_some()) != (frame.kind == CONTINUATION) {
            return Err(SessionError::Protocol("a header block is not whole"));
        }
        match frame.kind {
            SETTINGS if !frame.has(ACK) => self.take_settings(frame),
            PING if !frame.has(ACK) => self.put(PING, ACK, 0, frame.payload),
            GOAWAY => return self.take_goaway(frame),
            WINDOW_UPDATE if frame.stream == 0 => self.window += i64::from(frame.number(0)?),
            DATA => return self.take_data(frame),
            HEADERS | CONTINUATION => return self.take_headers(frame),
            RST_STREAM => return self.take_reset(frame),
            // What is not known, or means nothing to a client of one call, is passed over.
            _ => {}
        }
        Ok(())
    }

    fn take_settings(&mut self, frame: &Frame<'_>) {
        for (name, value) in frame.settings() {
            if name == SETTING_INITIAL_WINDOW_SIZE {
                self.stream_window = value.into();
            }
        }
        self.put(SETTINGS, ACK, 0, &[]);
    }

    /// Calls up to the one named are answered still.
    fn take_goaway(&mut self, frame: &Frame<'_>) -> Result<(), SessionError> {
        let last = frame.number(0)? & LAST_STREAM;
        self.going_away = true;
        match &self.call {
            Some(call) if call.stream > last => Err(SessionError::GoingAway),
            _ => Ok(()),
        }
    }

    fn take_data(&mut self, frame: &Frame<'_>) -> Result<(), SessionError> {
        self.received += u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
        let acknowledged = self.received >= ACKNOWLEDGE;
        let more = self.received.to_be_bytes();
        if acknowledged {
            self.put(WINDOW_UPDATE, 0, 0, &more);
            self.received = 0;
        }
        let Some(call) = self.call.as_mut().filter(|call| call.stream == frame.stream) else { return Ok(()) };
        let answer = call.answer.as_mut().ok_or(SessionError::Protocol("data came before the head"))?;
        answer.data.extend_from_slice(frame.content()?);
        if answer.data.len() > call.limit {
            return Err(SessionError::TooLarge(call.limit));
        }
        call.ended = frame.has(END_STREAM);
        let stream = (acknowledged && !call.ended).then_some(call.stream);
        if let Some(stream) = stream {
            self.put(WINDOW_UPDATE, 0, stream, &more);
        }
        Ok(())
    }

    fn take_headers(&mut self, frame: &Frame<'_>) -> Result<(), SessionError> {
        let Some(call) = self.call.as_mut().filter(|call| call.stream == frame.stream) else { return Ok(()) };
        let (mut block, ends) = call.block.take().unwrap_or((Vec::new(), frame.has(END_STREAM)));
        block.extend_from_slice(if frame.kind == HEADERS { frame.content()? } else { frame.payload });
        if block.len() > LONGEST_BLOCK {
            return Err(SessionError::TooLarge(LONGEST_BLOCK));
        }
        if !frame.has(END_HEADERS) {
            call.block = Some((block, ends));
            return Ok(());
        }
        call.take_block(hpack::decode(&block)?, ends)
    }

    fn take_reset(&mut self, frame: &Frame<'_>) -> Result<(), SessionError> {
        match &self.call {
            Some(call) if call.stream == frame.stream && !call.ended => {
                Err(SessionError::Reset(frame.number(0)?))
            }
            _ => Ok(()),
        }
    }

    fn put(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        Frame { kind, flags, stream, payload }.put(&mut self.out);
    }
}

impl Call {
    fn take_block(&mut self, block: hpack::Block, ends: bool) -> Result<(), SessionError> {
        match (&mut self.answer, block.status) {
            // What comes before the answer proper says nothing to us.
            (None, Some(100..200)) => return Ok(()),
            (None, Some(status)) => {
                self.answer = Some(Answer { status, head: block.fields, ..Answer::default() });
            }
            (Some(answer), None) if ends => answer.trailers = Some(block.fields),
            _ => return Err(SessionError::Protocol("head and trailers are mixed up")),
        }
        self.ended = ends;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    /// `:status: 200`.
    const OK: &[u8] = &[0x88];

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Frame { kind, flags, stream, payload }.put(&mut bytes);
        bytes
    }

    fn trailers() -> Vec<u8> {
        [&[0, 11][..], b"grpc-status", &[1], b"0"].concat()
    }

    fn asked() -> Session {
        let mut session = Session::new();
        session.begin(&hpack::encode(false, "h", "/a", &HeaderMap::new()), b"body", 40_000);
        let out = session.take_out();
        assert!(out.starts_with(frame::PREFACE) && out.ends_with(b"body"));
        session
    }

    #[test]
    fn an_answer_is_read_however_it_is_cut() {
        let bytes = [
            frame(SETTINGS, 0, 0, &[]),
            frame(HEADERS, 0, 1, &[]),
            frame(CONTINUATION, END_HEADERS, 1, OK),
            frame(DATA, 0, 1, b"ab"),
            frame(DATA, 0, 1, b"c"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers()),
        ]
        .concat();
        for step in 1..=bytes.len() {
            let mut session = asked();
            for piece in bytes.chunks(step) {
                assert!(session.take_answer().is_none());
                session.receive(piece).expect("an answer");
            }
            let answer = session.take_answer().expect("whole");
            assert_eq!((answer.status, answer.data.as_slice()), (200, &b"abc"[..]));
            assert_eq!(answer.trailers.expect("trailers")["grpc-status"], "0");
            assert_eq!(session.take_out(), frame(SETTINGS, ACK, 0, &[]));
            assert!(session.takes(1) && session.unread.is_empty());
        }
    }

    #[test]
    fn pings_are_answered_between_calls_and_frames_of_other_streams_passed_over() {
        let mut session = asked();
        session.receive(&frame(PING, 0, 0, b"12345678")).expect("a ping");
        session.receive(&frame(0xbe, 0, 0, b"of a later version")).expect("passed over");
        session.receive(&frame(HEADERS, END_HEADERS, 9, OK)).expect("passed over");
        session.receive(&frame(RST_STREAM, 0, 9, &[0; 4])).expect("passed over");
        assert_eq!(session.take_out(), frame(PING, ACK, 0, b"12345678"));
        assert!(session.take_answer().is_none());
    }

    #[test]
    fn a_peer_that_goes_away_answers_what_it_said_it_would_and_gets_no_further_call() {
        let mut session = asked();
        session.receive(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])).expect("call 1 is answered");
        session.receive(&frame(HEADERS, END_HEADERS | END_STREAM, 1, OK)).expect("an answer");
        assert!(session.take_answer().is_some() && !session.takes(1));
        let refused = asked().receive(&frame(GOAWAY, 0, 0, &[0; 8]));
        assert_eq!(refused, Err(SessionError::GoingAway));
    }

    #[test]
    fn an_answer_may_be_as_long_as_was_said_and_the_peer_may_send_all_of_it() {
        let data = frame(DATA, 0, 1, &[7; 16_000]);
        let mut session = asked();
        session.receive(&frame(HEADERS, END_HEADERS, 1, OK)).expect("a head");
        session.receive(&data).expect("data");
        assert!(session.take_out().is_empty());
        session.receive(&data).expect("data");
        let more = 32_000_u32.to_be_bytes();
        let updates = [frame(WINDOW_UPDATE, 0, 0, &more), frame(WINDOW_UPDATE, 0, 1, &more)].concat();
        assert_eq!(session.take_out(), updates);
        assert_eq!(session.receive(&data), Err(SessionError::TooLarge(40_000)));
    }

    #[test]
    fn nothing_is_sent_beyond_what_the_peer_takes() {
        let mut session = asked();
        assert!(session.takes(65_531) && !session.takes(65_532));
        session.receive(&frame(WINDOW_UPDATE, 0, 0, &4_u32.to_be_bytes())).expect("a window");
        assert!(session.takes(65_535));
        session.receive(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 9])).expect("settings");
        assert!(session.takes(9) && !session.takes(10));
    }

    #[test]
    fn what_breaks_the_protocol_ends_the_call() {
        let check = |frames: &[Vec<u8>], error: SessionError| {
            assert_eq!(asked().receive(&frames.concat()), Err(error));
        };
        let open = frame(HEADERS, 0, 1, OK);
        check(
            &[open.clone(), frame(DATA, 0, 1, b"a")],
            SessionError::Protocol("a header block is not whole"),
        );
        check(&[frame(CONTINUATION, 0, 1, OK)], SessionError::Protocol("a header block is not whole"));
        check(&[frame(DATA, 0, 1, b"a")], SessionError::Protocol("data came before the head"));
        check(&[frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])], SessionError::Reset(8));
        check(
            &[frame(HEADERS, END_HEADERS, 1, &trailers())],
            SessionError::Protocol("head and trailers are mixed up"),
        );
        let long = frame(CONTINUATION, 0, 1, &[0; 16_384]);
        check(&[open, long], SessionError::TooLarge(16_384));
    }

    mod fuzz {
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn any_frames_are_an_answer_or_refused(
                frames in prop::collection::vec((0_u8..11, any::<u8>(), 0_u32..4, prop::collection::vec(any::<u8>(), 0..40)), 0..12),
            ) {
                let mut session = super::asked();
                for (kind, flags, stream, payload) in frames {
                    if session.receive(&super::frame(kind, flags, stream, &payload)).is_err() {
                        break;
                    }
                    let _ = (session.take_answer(), session.take_out());
                }
            }
        }
    }
}
