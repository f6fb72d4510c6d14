//! The PROXY header, however it is cut: the same source after the same bytes, and never a byte of what follows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longhaul::listen::proxy::{BadHeader, MAX_V2, Next, Source, next};

fuzz_target!(|bytes: &[u8]| {
    let Some((&most, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = feed(bytes, usize::MAX);
    let cut = feed(bytes, usize::from(most).max(1));
    match (whole, cut) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
        (whole, cut) => assert!(whole.is_err() && cut.is_err()),
    }
});

/// How many bytes were taken, never more than asked for nor more than `most` at once, and what came of it.
fn feed(bytes: &[u8], most: usize) -> Result<(usize, Option<Source>), BadHeader> {
    let mut seen = 0;
    loop {
        let more = match next(&bytes[..seen])? {
            Next::Is(source) => return Ok((seen, Some(source))),
            Next::Read(more) => more,
        };
        assert!(more > 0 && seen + more <= MAX_V2);
        let taken = more.min(most).min(bytes.len() - seen);
        if taken == 0 {
            return Ok((seen, None));
        }
        seen += taken;
    }
}
