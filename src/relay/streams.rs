//! Frame streams for the tests of [`frames`](super::frames), [`inject`](super::inject) and [`pong`](super::pong).
//!
//! In: nothing. Out: proptest strategies for streams that a client or a backend may send, encoded by tungstenite and
//! not by us, and for ways to cut them into chunks.
//!
//! Not here: what is expected of them.

use proptest::collection::vec;
use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::frames::Sender;

/// One frame, before it is encoded.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) fin: bool,
    pub(super) opcode: OpCode,
    pub(super) payload: Vec<u8>,
    key: [u8; 4],
}

impl Plain {
    pub(super) fn encode(&self, sender: Sender) -> Vec<u8> {
        let mask = (sender == Sender::Client).then_some(self.key);
        let header = FrameHeader {
            is_final: self.fin,
            opcode: self.opcode,
            mask,
            ..FrameHeader::default()
        };
        let mut bytes = Vec::new();
        header
            .format(self.payload.len() as u64, &mut bytes)
            .expect("a Vec takes everything");
        let pad = mask.unwrap_or_default();
        bytes.extend(
            self.payload
                .iter()
                .zip(pad.iter().cycle())
                .map(|(byte, pad)| byte ^ pad),
        );
        bytes
    }

    pub(super) fn is_data(&self) -> bool {
        matches!(self.opcode, OpCode::Data(_))
    }

    pub(super) fn ends_message(&self) -> bool {
        self.fin && self.is_data()
    }
}

/// The bytes of all frames.
pub(super) fn encode(frames: &[Plain], sender: Sender) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.encode(sender)).collect()
}

pub(super) fn sender() -> impl Strategy<Value = Sender> {
    prop_oneof![Just(Sender::Client), Just(Sender::Backend)]
}

/// Whole messages in fragments with Pings and Pongs between them, never a Close.
pub(super) fn frames() -> impl Strategy<Value = Vec<Plain>> {
    vec(message(), 0..6).prop_map(|messages| messages.into_iter().flatten().collect())
}

/// A Close with any code or none.
pub(super) fn close() -> impl Strategy<Value = Plain> {
    let payload = prop_oneof![
        Just(Vec::new()),
        (any::<u16>(), "[a-z]{0,123}").prop_map(|(code, reason)| {
            code.to_be_bytes()
                .into_iter()
                .chain(reason.into_bytes())
                .collect()
        }),
    ];
    plain(true, OpCode::Control(Control::Close), payload)
}

/// A Pong with this payload.
pub(super) fn pong(payload: [u8; 8]) -> impl Strategy<Value = Plain> {
    plain(true, OpCode::Control(Control::Pong), Just(payload.to_vec()))
}

/// Sizes of chunks, to be used in turn.
pub(super) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(
        prop_oneof![4 => 1..4_usize, 3 => 1..40_usize, 1 => 1..100_000_usize],
        1..20,
    )
}

/// `bytes` in chunks whose sizes are those of `cuts`, over and over.
pub(super) fn chunks<'a>(mut bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    cuts.iter().cycle().map_while(move |&cut| {
        let (chunk, rest) = bytes.split_at(cut.min(bytes.len()));
        bytes = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn message() -> impl Strategy<Value = Vec<Plain>> {
    let fragment = (vec(control(), 0..2), any::<[u8; 4]>(), payload());
    (
        prop_oneof![Just(Data::Text), Just(Data::Binary)],
        vec(fragment, 1..4),
    )
        .prop_map(|(kind, fragments)| {
            let last = fragments.len() - 1;
            let mut frames = Vec::new();
            for (at, (controls, key, payload)) in fragments.into_iter().enumerate() {
                frames.extend(controls);
                let opcode = OpCode::Data(if at == 0 { kind } else { Data::Continue });
                frames.push(Plain {
                    fin: at == last,
                    opcode,
                    payload,
                    key,
                });
            }
            frames
        })
}

/// ASCII, so that a reader which checks a Text message for UTF-8 accepts it wherever it is fragmented.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![20 => 0..20_usize, 10 => 124..129_usize, 1 => 65_534..65_538_usize];
    (length, 0..128_u8).prop_map(|(length, byte)| vec![byte; length])
}

fn control() -> impl Strategy<Value = Plain> {
    let opcode = prop_oneof![Just(Control::Ping), Just(Control::Pong)];
    let payload = prop_oneof![
        vec(any::<u8>(), 0..10),
        vec(any::<u8>(), 8..=8),
        vec(any::<u8>(), 124..=125)
    ];
    (opcode, payload, any::<[u8; 4]>()).prop_map(|(opcode, payload, key)| Plain {
        fin: true,
        opcode: OpCode::Control(opcode),
        payload,
        key,
    })
}

fn plain(fin: bool, opcode: OpCode, payload: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Plain> {
    (payload, any::<[u8; 4]>()).prop_map(move |(payload, key)| Plain {
        fin,
        opcode,
        payload,
        key,
    })
}
