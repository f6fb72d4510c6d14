//! Bytes that look random and can be made again.

use fastrand::Rng;

/// A stream of bytes that its seed decides.
pub(crate) struct Pattern(Rng);

impl Pattern {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill(&mut bytes);
        bytes
    }

    /// A length that is often near one of the three boundaries of a frame's length field.
    pub(crate) fn frame_length(&mut self, longest: usize) -> usize {
        let near = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537];
        let length = if self.0.bool() {
            near[self.0.usize(..near.len())]
        } else {
            self.0.usize(..=longest)
        };
        length.min(longest)
    }

    pub(crate) fn rng(&mut self) -> &mut Rng {
        &mut self.0
    }
}

/// Cuts `bytes` into pieces of random length, single bytes among them.
pub(crate) fn splits<'a>(rng: &mut Rng, mut bytes: &'a [u8], longest: usize) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let length = if rng.u8(..8) == 0 {
            1
        } else {
            rng.usize(1..=longest)
        };
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
