//! The table of ambiguous requests, by what is ambiguous about them.

use crate::support::KEY;

/// What may happen to a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 400, and the connection is closed.
    Refused,
    /// A session.
    Accepted,
    /// Refused with any 4xx or a closed connection, or one canonical request at the backend.
    Either,
}

use Verdict::{Accepted, Either, Refused};

pub(super) struct Payload {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) verdict: Verdict,
}

/// Everything that a correct upgrade has after its request line, but for the empty line.
fn fields() -> String {
    format!(
        "Host: chat.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    )
}

/// The request that hides behind a payload.
fn second() -> String {
    format!("GET /smuggled HTTP/1.1\r\n{}\r\n", fields())
}

pub(super) fn all() -> Vec<Payload> {
    let mut table = Vec::new();
    for (name, odd, body, verdict) in lengths().iter().chain(&codings()).chain(&both()).chain(&chunks()) {
        let bytes = format!("GET / HTTP/1.1\r\n{}{odd}\r\n{body}{}", fields(), second());
        table.push(Payload {
            name,
            bytes: bytes.into_bytes(),
            verdict: *verdict,
        });
    }
    for (name, odd, verdict) in odd_fields() {
        let bytes = format!("GET / HTTP/1.1\r\n{odd}{}\r\n", fields());
        table.push(Payload {
            name,
            bytes: bytes.into_bytes(),
            verdict,
        });
    }
    for (name, line, verdict) in request_lines() {
        let bytes = format!("{line}{}\r\n", fields());
        table.push(Payload {
            name,
            bytes: bytes.into_bytes(),
            verdict,
        });
    }
    for (name, bytes, verdict) in whole_heads() {
        table.push(Payload { name, bytes, verdict });
    }
    table
}

type Framing = (&'static str, &'static str, &'static str, Verdict);

/// Content-Length on a request that has no body.
fn lengths() -> Vec<Framing> {
    vec![
        ("CL 5 with a body", "Content-Length: 5\r\n", "hello", Refused),
        ("CL 5 without the body", "Content-Length: 5\r\n", "", Refused),
        (
            "CL larger than what follows",
            "Content-Length: 9999\r\n",
            "",
            Refused,
        ),
        (
            "CL twice, different",
            "Content-Length: 0\r\nContent-Length: 5\r\n",
            "hello",
            Refused,
        ),
        (
            "CL twice, different, zero last",
            "Content-Length: 5\r\nContent-Length: 0\r\n",
            "hello",
            Refused,
        ),
        (
            "CL twice, equal",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "hello",
            Refused,
        ),
        (
            "CL zero twice",
            "Content-Length: 0\r\nContent-Length: 0\r\n",
            "",
            Either,
        ),
        ("CL as a list of equals", "Content-Length: 0, 0\r\n", "", Either),
        (
            "CL as a list of differing",
            "Content-Length: 0, 5\r\n",
            "hello",
            Refused,
        ),
        ("CL empty", "Content-Length:\r\n", "", Refused),
        ("CL negative", "Content-Length: -1\r\n", "", Refused),
        ("CL with a plus", "Content-Length: +5\r\n", "hello", Refused),
        ("CL zero with a plus", "Content-Length: +0\r\n", "", Refused),
        ("CL minus zero", "Content-Length: -0\r\n", "", Refused),
        ("CL hexadecimal", "Content-Length: 0x5\r\n", "hello", Refused),
        (
            "CL with leading zeros",
            "Content-Length: 0005\r\n",
            "hello",
            Refused,
        ),
        (
            "CL with an underscore",
            "Content-Length: 1_0\r\n",
            "helloworld",
            Refused,
        ),
        (
            "CL with a decimal point",
            "Content-Length: 5.0\r\n",
            "hello",
            Refused,
        ),
        ("CL with an exponent", "Content-Length: 5e0\r\n", "hello", Refused),
        (
            "CL with a space inside",
            "Content-Length: 1 0\r\n",
            "helloworld",
            Refused,
        ),
        (
            "CL with letters after",
            "Content-Length: 5abc\r\n",
            "hello",
            Refused,
        ),
        ("CL quoted", "Content-Length: \"5\"\r\n", "hello", Refused),
        ("CL with a semicolon", "Content-Length: 5;x\r\n", "hello", Refused),
        (
            "CL of 2^64",
            "Content-Length: 18446744073709551616\r\n",
            "",
            Refused,
        ),
        (
            "CL of 2^64 + 5",
            "Content-Length: 18446744073709551621\r\n",
            "hello",
            Refused,
        ),
        (
            "CL of 2^63",
            "Content-Length: 9223372036854775808\r\n",
            "",
            Refused,
        ),
        (
            "CL in Arabic digits",
            "Content-Length: \u{665}\r\n",
            "hello",
            Refused,
        ),
        (
            "CL with a vertical tab",
            "Content-Length: \u{b}5\r\n",
            "hello",
            Refused,
        ),
        (
            "CL with a form feed",
            "Content-Length: 5\u{c}\r\n",
            "hello",
            Refused,
        ),
        ("CL with NUL", "Content-Length: 5\0\r\n", "hello", Refused),
        ("CL after a tab", "Content-Length:\t5\r\n", "hello", Refused),
    ]
}

/// Transfer-Encoding on a request that has no body.
fn codings() -> Vec<Framing> {
    let end = "0\r\n\r\n";
    vec![
        ("TE chunked", "Transfer-Encoding: chunked\r\n", end, Refused),
        ("TE in capitals", "Transfer-Encoding: CHUNKED\r\n", end, Refused),
        ("TE unknown", "Transfer-Encoding: xchunked\r\n", end, Refused),
        ("TE identity", "Transfer-Encoding: identity\r\n", end, Refused),
        ("TE gzip alone", "Transfer-Encoding: gzip\r\n", end, Refused),
        (
            "TE chunked not last",
            "Transfer-Encoding: chunked, gzip\r\n",
            end,
            Refused,
        ),
        (
            "TE chunked, identity",
            "Transfer-Encoding: chunked, identity\r\n",
            end,
            Refused,
        ),
        (
            "TE gzip, chunked",
            "Transfer-Encoding: gzip, chunked\r\n",
            end,
            Refused,
        ),
        (
            "TE chunked twice in one",
            "Transfer-Encoding: chunked, chunked\r\n",
            end,
            Refused,
        ),
        (
            "TE chunked twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            end,
            Refused,
        ),
        (
            "TE chunked, then another",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n",
            end,
            Refused,
        ),
        (
            "TE another, then chunked",
            "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n",
            end,
            Refused,
        ),
        ("TE empty", "Transfer-Encoding:\r\n", end, Refused),
        ("TE a comma", "Transfer-Encoding: ,\r\n", end, Refused),
        (
            "TE with a comma before",
            "Transfer-Encoding: , chunked\r\n",
            end,
            Refused,
        ),
        (
            "TE with a comma after",
            "Transfer-Encoding: chunked,\r\n",
            end,
            Refused,
        ),
        (
            "TE with a parameter",
            "Transfer-Encoding: chunked;a=b\r\n",
            end,
            Refused,
        ),
        ("TE quoted", "Transfer-Encoding: \"chunked\"\r\n", end, Refused),
        (
            "TE after a vertical tab",
            "Transfer-Encoding: \u{b}chunked\r\n",
            end,
            Refused,
        ),
        (
            "TE before a form feed",
            "Transfer-Encoding: chunked\u{c}\r\n",
            end,
            Refused,
        ),
        (
            "TE with a control character",
            "Transfer-Encoding: chunked\u{1}\r\n",
            end,
            Refused,
        ),
        ("TE with NUL", "Transfer-Encoding: chunked\0\r\n", end, Refused),
        (
            "TE with a space before the colon",
            "Transfer-Encoding : chunked\r\n",
            end,
            Refused,
        ),
        (
            "TE with a tab before the colon",
            "Transfer-Encoding\t: chunked\r\n",
            end,
            Refused,
        ),
        ("TE folded", "Transfer-Encoding:\r\n chunked\r\n", end, Refused),
        (
            "TE after a space",
            " Transfer-Encoding: chunked\r\n",
            end,
            Refused,
        ),
        (
            "TE behind a bare CR",
            "X: x\rTransfer-Encoding: chunked\r\n",
            end,
            Refused,
        ),
        (
            "TE behind a bare LF",
            "X: x\nTransfer-Encoding: chunked\r\n",
            end,
            Refused,
        ),
        (
            "TE with an underscore",
            "Transfer_Encoding: chunked\r\n",
            end,
            Either,
        ),
        (
            "TE with a look-alike letter",
            "Tran\u{17f}fer-Encoding: chunked\r\n",
            end,
            Refused,
        ),
    ]
}

/// Both at once: CL.TE, TE.CL, and the ones where a reader sees none.
fn both() -> Vec<Framing> {
    vec![
        (
            "CL.TE",
            "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\nG",
            Refused,
        ),
        (
            "TE.CL",
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            "5c\r\nGPOST / HTTP/1.1\r\n",
            Refused,
        ),
        (
            "TE.0",
            "Transfer-Encoding: chunked\r\n",
            "2\r\nab\r\n0\r\n\r\n",
            Refused,
        ),
        ("CL.0", "Content-Length: 60\r\n", "", Refused),
        (
            "0.CL",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            Refused,
        ),
        (
            "CL.TE with TE in a fold",
            "Content-Length: 3\r\nX: y\r\n Transfer-Encoding: chunked\r\n",
            "abc",
            Refused,
        ),
        (
            "CL and an unknown TE",
            "Content-Length: 3\r\nTransfer-Encoding: cow\r\n",
            "abc",
            Refused,
        ),
        (
            "CL and TE nominated away",
            "Connection: Transfer-Encoding\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            Refused,
        ),
        (
            "CL nominated away",
            "Connection: Content-Length\r\nContent-Length: 3\r\n",
            "abc",
            Refused,
        ),
        (
            "Expect with a body",
            "Expect: 100-continue\r\nContent-Length: 3\r\n",
            "abc",
            Refused,
        ),
        ("Expect without a body", "Expect: 100-continue\r\n", "", Either),
    ]
}

/// Chunks whose length two readers would take differently.
fn chunks() -> Vec<Framing> {
    let te = "Transfer-Encoding: chunked\r\n";
    vec![
        ("a chunk extension", te, "3;a=b\r\nabc\r\n0\r\n\r\n", Refused),
        (
            "a chunk extension with a bare LF",
            te,
            "3;a\nb\r\nabc\r\n0\r\n\r\n",
            Refused,
        ),
        (
            "a chunk extension with a bare CR",
            te,
            "3;a\rb\r\nabc\r\n0\r\n\r\n",
            Refused,
        ),
        (
            "a chunk line that ends with LF",
            te,
            "3\nabc\r\n0\r\n\r\n",
            Refused,
        ),
        ("chunk data that ends with LF", te, "3\r\nabc\n0\r\n\r\n", Refused),
        ("chunk data without an end", te, "3\r\nabc0\r\n\r\n", Refused),
        ("a chunk length with 0x", te, "0x3\r\nabc\r\n0\r\n\r\n", Refused),
        (
            "a chunk length with a plus",
            te,
            "+3\r\nabc\r\n0\r\n\r\n",
            Refused,
        ),
        ("a negative chunk length", te, "-3\r\nabc\r\n0\r\n\r\n", Refused),
        (
            "a chunk length with an underscore",
            te,
            "0_3\r\nabc\r\n0\r\n\r\n",
            Refused,
        ),
        (
            "a chunk length with spaces",
            te,
            " 3 \r\nabc\r\n0\r\n\r\n",
            Refused,
        ),
        (
            "a chunk length of 2^64",
            te,
            "10000000000000003\r\nabc\r\n0\r\n\r\n",
            Refused,
        ),
        ("an empty chunk length", te, "\r\nabc\r\n0\r\n\r\n", Refused),
        ("trailers", te, "0\r\nContent-Length: 5\r\nX: y\r\n\r\n", Refused),
    ]
}

/// Fields that are not fields, or name the same thing twice.
fn odd_fields() -> Vec<(&'static str, &'static str, Verdict)> {
    vec![
        ("a second Host", "Host: other.example\r\n", Refused),
        ("a second Host, equal", "Host: chat.example.com\r\n", Refused),
        ("an empty second Host", "Host:\r\n", Refused),
        ("a space before the colon", "X-Odd : 1\r\n", Refused),
        (
            "a Host with a space before the colon",
            "Host : other.example\r\n",
            Refused,
        ),
        ("no colon", "X-Odd\r\n", Refused),
        ("an empty name", ": 1\r\n", Refused),
        ("a NUL in a name", "X\0Odd: 1\r\n", Refused),
        ("a NUL in a value", "X-Odd: a\0b\r\n", Refused),
        ("a bare CR in a value", "X-Odd: a\rb\r\n", Refused),
        ("a bare CR at the end of a value", "X-Odd: a\r\r\n", Either),
        ("a control character in a value", "X-Odd: a\u{1}b\r\n", Refused),
        ("DEL in a value", "X-Odd: a\u{7f}b\r\n", Refused),
        ("a fold", "X-Odd: a\r\n b\r\n", Refused),
        ("a fold with a tab", "X-Odd: a\r\n\tb\r\n", Refused),
        ("a fold before every field", " X-Odd: a\r\n", Refused),
        ("a folded Host", "X-Odd: a\r\n Host: other.example\r\n", Refused),
        ("a name with a slash", "X/Odd: 1\r\n", Refused),
        ("a name with a bracket", "X(Odd: 1\r\n", Refused),
        ("a name with a byte above 127", "X\u{e9}: 1\r\n", Refused),
        ("a field that ends with LF", "X-Odd: 1\n", Either),
        (
            "an empty line of LF inside",
            "X-Odd: 1\n\nGET /smuggled HTTP/1.1\r\n",
            Either,
        ),
        ("two Upgrade fields", "Upgrade: h2c\r\n", Either),
        (
            "two keys",
            "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n",
            Refused,
        ),
        ("two versions", "Sec-WebSocket-Version: 8\r\n", Either),
    ]
}

/// Request lines, each with its line end.
fn request_lines() -> Vec<(&'static str, &'static str, Verdict)> {
    vec![
        ("two spaces before the target", "GET  / HTTP/1.1\r\n", Refused),
        ("two spaces before the version", "GET /  HTTP/1.1\r\n", Refused),
        ("a tab for a space", "GET\t/\tHTTP/1.1\r\n", Refused),
        ("a space before the method", " GET / HTTP/1.1\r\n", Refused),
        ("an empty line before", "\r\nGET / HTTP/1.1\r\n", Either),
        ("an empty line of LF before", "\nGET / HTTP/1.1\r\n", Either),
        ("a bare LF at the end", "GET / HTTP/1.1\n", Either),
        ("a bare CR at the end", "GET / HTTP/1.1\r", Refused),
        ("no version", "GET /\r\n", Refused),
        ("HTTP/0.9", "GET / HTTP/0.9\r\n", Refused),
        ("HTTP/1.0", "GET / HTTP/1.0\r\n", Either),
        ("HTTP/1.2", "GET / HTTP/1.2\r\n", Refused),
        ("HTTP/2.0", "GET / HTTP/2.0\r\n", Refused),
        ("HTTP/1.10", "GET / HTTP/1.10\r\n", Refused),
        ("http/1.1", "GET / http/1.1\r\n", Refused),
        ("a space in the target", "GET /a b HTTP/1.1\r\n", Refused),
        ("a NUL in the target", "GET /a\0b HTTP/1.1\r\n", Refused),
        ("a bare CR in the target", "GET /a\rb HTTP/1.1\r\n", Refused),
        ("a fragment", "GET /#smuggled HTTP/1.1\r\n", Either),
        ("a method in lower case", "get / HTTP/1.1\r\n", Either),
        ("a method with a NUL", "G\0ET / HTTP/1.1\r\n", Refused),
        (
            "an absolute target of another host",
            "GET http://other.example/ HTTP/1.1\r\n",
            Refused,
        ),
        ("a target without a slash", "GET smuggled HTTP/1.1\r\n", Refused),
        (
            "a target with user information",
            "GET http://chat.example.com@other.example/ HTTP/1.1\r\n",
            Refused,
        ),
    ]
}

/// Heads that are odd as a whole.
fn whole_heads() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let fields = fields();
    let head = |host: &str| fields.replace("Host: chat.example.com\r\n", host);
    let request = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n").into_bytes();
    vec![
        ("a correct request", request(&fields), Accepted),
        (
            "an empty body announced",
            request(&format!("{fields}Content-Length: 0\r\n")),
            Accepted,
        ),
        ("no Host", request(&head("")), Refused),
        ("an empty Host", request(&head("Host:\r\n")), Either),
        (
            "a Host with a path",
            request(&head("Host: chat.example.com/x\r\n")),
            Refused,
        ),
        (
            "a Host with user information",
            request(&head("Host: a@chat.example.com\r\n")),
            Refused,
        ),
        (
            "a Host with a space",
            request(&head("Host: chat.example.com x\r\n")),
            Refused,
        ),
        (
            "a Host with a comma",
            request(&head("Host: chat.example.com,other.example\r\n")),
            Refused,
        ),
        (
            "a Host with a wrong port",
            request(&head("Host: chat.example.com:x\r\n")),
            Refused,
        ),
        (
            "every line ends with LF",
            request(&fields)
                .into_iter()
                .filter(|&byte| byte != b'\r')
                .collect(),
            Either,
        ),
        (
            "the head ends with LF CR LF",
            request(&fields)
                .strip_suffix(b"\r\n\r\n")
                .map(|rest| [rest, b"\n\r\n"].concat())
                .unwrap_or_default(),
            Either,
        ),
        (
            "a TLS hello",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            Either,
        ),
        (
            "an HTTP/2 preface",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            Either,
        ),
        (
            "a PROXY line",
            [b"PROXY TCP4 6.6.6.6 1.1.1.1 1 2\r\n".to_vec(), request(&fields)].concat(),
            Refused,
        ),
        ("garbage", vec![0xff; 300], Either),
        ("nothing but line ends", b"\r\n".repeat(2000), Either),
    ]
}
