//! Messages in several frames, and text that is none.

use super::{Case, FIRST, case, chopped};
use crate::support::Frame;

type Three = [Frame; 3];

/// A message of three fragments.
fn three() -> Three {
    [
        Frame::text("a").unfinished(),
        Frame::new(0, "b").unfinished(),
        Frame::new(0, "c"),
    ]
}

pub(super) fn fragments(table: &mut Vec<Case>) {
    let [start, middle, end] = three();
    table.push(case("three fragments", three().to_vec()));
    table.push(chopped(case("three fragments", three().to_vec()), 1));
    let ping = Frame::ping("between");
    table.push(case(
        "a ping between fragments",
        vec![start.clone(), ping.clone(), end.clone()],
    ));
    table.push(case(
        "pings between all",
        vec![
            ping.clone(),
            start.clone(),
            ping.clone(),
            middle.clone(),
            ping,
            end.clone(),
        ],
    ));
    table.push(case(
        "a pong between fragments",
        vec![start.clone(), Frame::pong(""), end.clone()],
    ));
    table.push(case(
        "a close between fragments",
        vec![start.clone(), Frame::close(1000, ""), end.clone()],
    ));
    table.push(case(
        "empty fragments",
        vec![
            Frame::text("").unfinished(),
            Frame::new(0, "").unfinished(),
            Frame::new(0, ""),
        ],
    ));
    table.push(case(
        "empty around a middle",
        vec![Frame::text("").unfinished(), middle.clone(), Frame::new(0, "")],
    ));
    let many = |count: usize| {
        let middle = (2..count).map(|_| Frame::new(0, "m").unfinished());
        [start.clone()]
            .into_iter()
            .chain(middle)
            .chain([end.clone()])
            .collect::<Vec<_>>()
    };
    table.push(case("100 fragments", many(100)));
    table.push(case("2000 fragments", many(2000)));
    table.push(chopped(case("100 fragments", many(100)), 7));
}

/// Fragments where none belongs.
pub(super) fn misplaced(table: &mut Vec<Case>) {
    let [start, middle, end] = three();
    table.push(case(
        "a continuation of nothing",
        vec![end.clone(), Frame::text("after")],
    ));
    table.push(case(
        "an unfinished continuation of nothing",
        vec![middle.clone(), Frame::text("after")],
    ));
    table.push(case(
        "a continuation after a message",
        vec![Frame::text(FIRST), end.clone()],
    ));
    table.push(case(
        "a text inside a message",
        vec![start.clone(), Frame::text("other")],
    ));
    table.push(case(
        "a binary inside a message",
        vec![start.clone(), Frame::binary("other"), end.clone()],
    ));
    table.push(case("a message that never ends", vec![start.clone(), middle]));
}

pub(super) fn utf8(table: &mut Vec<Case>) {
    let texts: [(&str, &[u8]); 22] = [
        ("every width", "aé世🌍".as_bytes()),
        ("the last code point", b"\xf4\x8f\xbf\xbf"),
        ("beyond the last code point", b"\xf4\x90\x80\x80"),
        ("the first surrogate", b"\xed\xa0\x80"),
        ("the last surrogate", b"\xed\xbf\xbf"),
        ("before the surrogates", b"\xed\x9f\xbf"),
        ("after the surrogates", b"\xee\x80\x80"),
        ("a surrogate pair", b"\xed\xa0\xbd\xed\xb8\x80"),
        ("a slash in two bytes", b"\xc0\xaf"),
        ("a slash in three bytes", b"\xe0\x80\xaf"),
        ("a slash in four bytes", b"\xf0\x80\x80\xaf"),
        ("a NUL in two bytes", b"\xc0\x80"),
        ("a NUL", b"a\0b"),
        ("a lone continuation", b"\x80"),
        ("two continuations", b"\x80\xbf"),
        ("a start without the rest", b"\xc3"),
        ("three of four bytes", b"\xf0\x9f\x8c"),
        ("a start, then a letter", b"\xc3a"),
        ("0xff", b"\xff"),
        ("0xfe", b"\xfe"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
        ("six bytes", b"\xfc\x84\x80\x80\x80\x80"),
    ];
    for (name, text) in texts {
        table.push(case(format!("UTF-8: {name}"), vec![Frame::new(1, text)]));
        let around = [b"before ", text, b" after"].concat();
        table.push(case(
            format!("UTF-8: {name} inside a text"),
            vec![Frame::new(1, around)],
        ));
        let (start, end) = text.split_at(text.len() / 2);
        let parts = vec![Frame::new(1, start).unfinished(), Frame::new(0, end)];
        table.push(case(format!("UTF-8: {name} over two fragments"), parts));
        table.push(case(
            format!("UTF-8: {name} in a binary"),
            vec![Frame::binary(text)],
        ));
    }
    table.push(case(
        "UTF-8: wrong at once, more to come",
        vec![Frame::new(1, b"\xff".to_vec()).unfinished(), Frame::new(0, "x")],
    ));
}
