//! What a fuzz target asks of this provider.

use super::{
    api::{Event, Lines},
    select::{Location, PortChoice, select},
    slices::Slices,
};
use crate::Answer;

/// What is known of the service `chat` after a watch that comes in these pieces, and whether all of it was understood.
pub fn watch<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, port: &PortChoice) -> (Answer, bool) {
    let mut lines = Lines::default();
    let mut slices = Slices::default();
    let mut understood = true;
    for piece in pieces {
        lines.push(piece);
        while understood {
            match lines.next() {
                Ok(Some((Event::Put(slice), _))) => drop(slices.put(*slice)),
                Ok(Some((Event::Deleted(slice), _))) => drop(slices.delete(&slice.name)),
                Ok(Some((Event::Bookmark, _))) => {}
                Ok(None) => break,
                Err(_) => understood = false,
            }
        }
    }
    let here = Location {
        zone: Some("a".into()),
        node: Some("n".into()),
    };
    let answer = select(&slices.of("chat"), port, &here).answer;
    (answer, understood && !lines.is_cut())
}
