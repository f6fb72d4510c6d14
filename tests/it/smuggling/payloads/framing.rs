//! Requests whose length two readers would take differently.

use super::Verdict::{self, Either, Refused};

/// A name, the fields that are added to a correct upgrade, what follows its empty line, and the verdict.
pub(super) type Framing = (&'static str, &'static str, &'static str, Verdict);

const TE: &str = "Transfer-Encoding: chunked\r\n";
/// The last chunk.
const END: &str = "0\r\n\r\n";

/// Content-Length on a request that has no body.
pub(super) const LENGTHS: &[Framing] = &[
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
];

/// Transfer-Encoding on a request that has no body.
pub(super) const CODINGS: &[Framing] = &[
    ("TE chunked", "Transfer-Encoding: chunked\r\n", END, Refused),
    ("TE in capitals", "Transfer-Encoding: CHUNKED\r\n", END, Refused),
    ("TE unknown", "Transfer-Encoding: xchunked\r\n", END, Refused),
    ("TE identity", "Transfer-Encoding: identity\r\n", END, Refused),
    ("TE gzip alone", "Transfer-Encoding: gzip\r\n", END, Refused),
    (
        "TE chunked not last",
        "Transfer-Encoding: chunked, gzip\r\n",
        END,
        Refused,
    ),
    (
        "TE chunked, identity",
        "Transfer-Encoding: chunked, identity\r\n",
        END,
        Refused,
    ),
    (
        "TE gzip, chunked",
        "Transfer-Encoding: gzip, chunked\r\n",
        END,
        Refused,
    ),
    (
        "TE chunked twice in one",
        "Transfer-Encoding: chunked, chunked\r\n",
        END,
        Refused,
    ),
    (
        "TE chunked twice",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        END,
        Refused,
    ),
    (
        "TE chunked, then another",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n",
        END,
        Refused,
    ),
    (
        "TE another, then chunked",
        "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n",
        END,
        Refused,
    ),
    ("TE empty", "Transfer-Encoding:\r\n", END, Refused),
    ("TE a comma", "Transfer-Encoding: ,\r\n", END, Refused),
    (
        "TE with a comma before",
        "Transfer-Encoding: , chunked\r\n",
        END,
        Refused,
    ),
    (
        "TE with a comma after",
        "Transfer-Encoding: chunked,\r\n",
        END,
        Refused,
    ),
    (
        "TE with a parameter",
        "Transfer-Encoding: chunked;a=b\r\n",
        END,
        Refused,
    ),
    ("TE quoted", "Transfer-Encoding: \"chunked\"\r\n", END, Refused),
    (
        "TE after a vertical tab",
        "Transfer-Encoding: \u{b}chunked\r\n",
        END,
        Refused,
    ),
    (
        "TE before a form feed",
        "Transfer-Encoding: chunked\u{c}\r\n",
        END,
        Refused,
    ),
    (
        "TE with a control character",
        "Transfer-Encoding: chunked\u{1}\r\n",
        END,
        Refused,
    ),
    ("TE with NUL", "Transfer-Encoding: chunked\0\r\n", END, Refused),
    (
        "TE with a space before the colon",
        "Transfer-Encoding : chunked\r\n",
        END,
        Refused,
    ),
    (
        "TE with a tab before the colon",
        "Transfer-Encoding\t: chunked\r\n",
        END,
        Refused,
    ),
    ("TE folded", "Transfer-Encoding:\r\n chunked\r\n", END, Refused),
    (
        "TE after a space",
        " Transfer-Encoding: chunked\r\n",
        END,
        Refused,
    ),
    (
        "TE behind a bare CR",
        "X: x\rTransfer-Encoding: chunked\r\n",
        END,
        Refused,
    ),
    (
        "TE behind a bare LF",
        "X: x\nTransfer-Encoding: chunked\r\n",
        END,
        Refused,
    ),
    (
        "TE with an underscore",
        "Transfer_Encoding: chunked\r\n",
        END,
        Either,
    ),
    (
        "TE with a look-alike letter",
        "Tran\u{17f}fer-Encoding: chunked\r\n",
        END,
        Refused,
    ),
];

/// Both at once: CL.TE, TE.CL, and the ones where a reader sees none.
pub(super) const BOTH: &[Framing] = &[
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
];

/// Chunks whose length two readers would take differently.
pub(super) const CHUNKS: &[Framing] = &[
    ("a chunk extension", TE, "3;a=b\r\nabc\r\n0\r\n\r\n", Refused),
    (
        "a chunk extension with a bare LF",
        TE,
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a chunk extension with a bare CR",
        TE,
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a chunk line that ends with LF",
        TE,
        "3\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    ("chunk data that ends with LF", TE, "3\r\nabc\n0\r\n\r\n", Refused),
    ("chunk data without an end", TE, "3\r\nabc0\r\n\r\n", Refused),
    ("a chunk length with 0x", TE, "0x3\r\nabc\r\n0\r\n\r\n", Refused),
    (
        "a chunk length with a plus",
        TE,
        "+3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    ("a negative chunk length", TE, "-3\r\nabc\r\n0\r\n\r\n", Refused),
    (
        "a chunk length with an underscore",
        TE,
        "0_3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a chunk length with spaces",
        TE,
        " 3 \r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a chunk length of 2^64",
        TE,
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    ("an empty chunk length", TE, "\r\nabc\r\n0\r\n\r\n", Refused),
    ("trailers", TE, "0\r\nContent-Length: 5\r\nX: y\r\n\r\n", Refused),
];
