//! Request lines and fields that two readers would split differently.

use super::Verdict::{self, Either, Refused};

/// Fields that are not fields, or name the same thing twice.
pub(super) const ODD_FIELDS: &[(&str, &str, Verdict)] = &[
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
];

/// Request lines, each with its line end.
pub(super) const REQUEST_LINES: &[(&str, &str, Verdict)] = &[
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
];
