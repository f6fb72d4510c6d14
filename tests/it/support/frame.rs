//! WebSocket frames, written and read without the product's code (RFC 6455 section 5.2).

/// One frame, its payload unmasked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    /// The three reserved bits, RSV1 highest: 4, 2, 1.
    pub(crate) rsv: u8,
    pub(crate) opcode: u8,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            fin: true,
            rsv: 0,
            opcode,
            mask: None,
            payload: payload.into(),
        }
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::new(1, text.into())
    }

    pub(crate) fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(2, payload)
    }

    pub(crate) fn ping(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(9, payload)
    }

    pub(crate) fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(10, payload)
    }

    pub(crate) fn close(code: u16, reason: &str) -> Self {
        Self::new(8, [&code.to_be_bytes(), reason.as_bytes()].concat())
    }

    /// A frame's first bytes, whose announced length need not be true.
    pub(crate) fn announce(fin: bool, opcode: u8, mask: Option<[u8; 4]>, length: u64) -> Vec<u8> {
        head(fin, 0, opcode, mask, length)
    }

    /// The same frame with FIN clear: more of the message follows.
    pub(crate) fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    pub(crate) fn rsv(mut self, bits: u8) -> Self {
        self.rsv = bits;
        self
    }

    pub(crate) fn masked(mut self, key: [u8; 4]) -> Self {
        self.mask = Some(key);
        self
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = head(
            self.fin,
            self.rsv,
            self.opcode,
            self.mask,
            self.payload.len() as u64,
        );
        let start = bytes.len();
        bytes.extend_from_slice(&self.payload);
        xor(&mut bytes[start..], self.mask);
        bytes
    }

    /// The first whole frame of `bytes` and its length on the wire.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (length, mut at) = match second & 0x7f {
            126 => (
                u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
                4,
            ),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
            short => (u64::from(short), 2),
        };
        let mut mask = None;
        if second & 0x80 != 0 {
            mask = Some(bytes.get(at..at + 4)?.try_into().ok()?);
            at += 4;
        }
        let end = at.checked_add(usize::try_from(length).ok()?)?;
        let mut payload = bytes.get(at..end)?.to_vec();
        xor(&mut payload, mask);
        let frame = Self {
            fin: first & 0x80 != 0,
            rsv: first >> 4 & 7,
            opcode: first & 15,
            mask,
            payload,
        };
        Some((frame, end))
    }

    pub(crate) fn is_close(&self) -> bool {
        self.opcode == 8
    }

    pub(crate) fn string(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = &self.payload[..self.payload.len().min(24)];
        write!(
            f,
            "Frame(fin {} rsv {} opcode {} len {} {:?})",
            self.fin,
            self.rsv,
            self.opcode,
            self.payload.len(),
            String::from_utf8_lossy(start)
        )
    }
}

fn head(fin: bool, rsv: u8, opcode: u8, mask: Option<[u8; 4]>, length: u64) -> Vec<u8> {
    let mut bytes = vec![u8::from(fin) << 7 | rsv << 4 | opcode];
    let bit = u8::from(mask.is_some()) << 7;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => bytes.push(bit | short),
        (_, Ok(medium)) => {
            bytes.push(bit | 126);
            bytes.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            bytes.push(bit | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes.extend_from_slice(mask.as_ref().map_or(&[], |key| &key[..]));
    bytes
}

/// The code in a Close frame's payload.
pub(crate) fn close_code(frame: &Frame) -> Option<u16> {
    assert!(frame.is_close(), "not a Close: {frame:?}");
    Some(u16::from_be_bytes(frame.payload.get(..2)?.try_into().ok()?))
}

fn xor(payload: &mut [u8], mask: Option<[u8; 4]>) {
    let Some(key) = mask else { return };
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}
