//! The table of ambiguous requests, by what is ambiguous about them.

mod framing;
mod heads;

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
    for (name, odd, body, verdict) in
        [framing::LENGTHS, framing::CODINGS, framing::BOTH, framing::CHUNKS].concat()
    {
        let bytes = format!("GET / HTTP/1.1\r\n{}{odd}\r\n{body}{}", fields(), second());
        table.push(Payload {
            name,
            bytes: bytes.into_bytes(),
            verdict,
        });
    }
    for &(name, odd, verdict) in heads::ODD_FIELDS {
        let bytes = format!("GET / HTTP/1.1\r\n{odd}{}\r\n", fields());
        table.push(Payload {
            name,
            bytes: bytes.into_bytes(),
            verdict,
        });
    }
    for &(name, line, verdict) in heads::REQUEST_LINES {
        let bytes = format!("{line}{}\r\n", fields());
        table.push(Payload {
            name,
            bytes: bytes.into_bytes(),
            verdict,
        });
    }
    for (name, bytes, verdict) in hosts().into_iter().chain(whole_heads()) {
        table.push(Payload { name, bytes, verdict });
    }
    table
}

/// The ambiguous bodies again, of requests for `/upload` that are plain.
pub(super) fn plain() -> Vec<(&'static str, String, Vec<u8>)> {
    let table = [framing::LENGTHS, framing::CODINGS, framing::BOTH, framing::CHUNKS].concat();
    let bytes = |line: &str, odd: &str, body: &str| {
        let head = format!("{line}\r\nHost: chat.example.com\r\n{odd}\r\n");
        format!("{head}{body}{}", second()).into_bytes()
    };
    let lines = (0..).map(|n| format!("POST /upload/{n} HTTP/1.1"));
    table
        .into_iter()
        .zip(lines)
        .map(|((name, odd, body, _), line)| (name, line.clone(), bytes(&line, odd, body)))
        .collect()
}

type Whole = (&'static str, Vec<u8>, Verdict);

fn request(fields: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\n{fields}\r\n").into_bytes()
}

/// Hosts that are missing or name no host.
fn hosts() -> Vec<Whole> {
    let with = |host: &str| request(&fields().replace("Host: chat.example.com\r\n", host));
    vec![
        ("no Host", with(""), Refused),
        ("an empty Host", with("Host:\r\n"), Either),
        (
            "a Host with a path",
            with("Host: chat.example.com/x\r\n"),
            Refused,
        ),
        (
            "a Host with user information",
            with("Host: a@chat.example.com\r\n"),
            Refused,
        ),
        (
            "a Host with a space",
            with("Host: chat.example.com x\r\n"),
            Refused,
        ),
        (
            "a Host with a comma",
            with("Host: chat.example.com,other.example\r\n"),
            Refused,
        ),
        (
            "a Host with a wrong port",
            with("Host: chat.example.com:x\r\n"),
            Refused,
        ),
    ]
}

/// Heads that are odd as a whole.
fn whole_heads() -> Vec<Whole> {
    let fields = fields();
    let correct = request(&fields);
    let only_lf = correct.iter().copied().filter(|&byte| byte != b'\r').collect();
    let lf_cr_lf = [correct.strip_suffix(b"\r\n\r\n").unwrap_or_default(), b"\n\r\n"].concat();
    vec![
        (
            "an empty body announced",
            request(&format!("{fields}Content-Length: 0\r\n")),
            Accepted,
        ),
        ("every line ends with LF", only_lf, Either),
        ("the head ends with LF CR LF", lf_cr_lf, Either),
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
            [b"PROXY TCP4 6.6.6.6 1.1.1.1 1 2\r\n", &correct[..]].concat(),
            Refused,
        ),
        ("garbage", vec![0xff; 300], Either),
        ("nothing but line ends", b"\r\n".repeat(2000), Either),
        ("a correct request", correct, Accepted),
    ]
}
