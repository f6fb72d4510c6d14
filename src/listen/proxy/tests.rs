use proptest::{prelude::*, prop_assert, prop_assert_eq, proptest};
use tokio::io::AsyncWriteExt;

use super::*;

fn v2(command: u8, family: u8, fields: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fields.len()).unwrap().to_be_bytes();
    [V2, &[command, family], &length, fields].concat()
}

fn client(address: &str) -> Source {
    Source::Client(address.parse().unwrap())
}

const IPV4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0xc3, 0x50, 0, 80];

/// Feeds bytes as a socket would, never more than were asked for; how many were taken, and what came of it.
fn feed(bytes: &[u8], most: usize) -> (usize, Result<Option<Source>, BadHeader>) {
    let mut seen = 0;
    loop {
        match next(&bytes[..seen]) {
            Ok(Next::Is(source)) => return (seen, Ok(Some(source))),
            Ok(Next::Read(more)) => {
                assert!(more > 0 && seen + more <= MAX_V2, "{seen} and {more}");
                let more = more.min(most).min(bytes.len() - seen);
                if more == 0 {
                    return (seen, Ok(None));
                }
                seen += more;
            }
            Err(error) => return (seen, Err(error)),
        }
    }
}

#[test]
fn both_versions_name_the_client_however_they_are_cut() {
    let mut ipv6 = [0; 36];
    ipv6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
    ipv6[15] = 7;
    ipv6[33] = 80;
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(MAX_V1 - 16));
    let cases = [
        (
            b"PROXY TCP4 192.0.2.1 10.0.0.1 50000 443\r\n".to_vec(),
            client("192.0.2.1:50000"),
        ),
        (
            b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n".to_vec(),
            client("0.0.0.0:0"),
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 80 65535\r\n".to_vec(),
            client("[2001:db8::7]:80"),
        ),
        (b"PROXY TCP6 :: :: 0 0\r\n".to_vec(), client("[::]:0")),
        (b"PROXY UNKNOWN\r\n".to_vec(), Source::Local),
        (b"PROXY UNKNOWN a b c d\r\n".to_vec(), Source::Local),
        (longest.into_bytes(), Source::Local),
        (v2(0x21, 0x11, &IPV4), client("192.0.2.1:50000")),
        (
            v2(0x21, 0x11, &[&IPV4[..], &[4; 400]].concat()),
            client("192.0.2.1:50000"),
        ),
        (v2(0x21, 0x21, &ipv6), client("[2001:db8::7]:80")),
        (v2(0x20, 0x00, &[]), Source::Local),
        (v2(0x20, 0x11, &IPV4), Source::Local),
        (v2(0x21, 0x00, &[9; 30]), Source::Local),
        (v2(0x21, 0x31, &[0; 216]), Source::Local),
        (v2(0x21, 0x12, &IPV4), Source::Local),
    ];
    for (header, source) in cases {
        for most in [1, 2, 3, 7, 16, usize::MAX] {
            let followed = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            let (taken, found) = feed(&followed, most);
            let shown = header.escape_ascii();
            assert_eq!(found.unwrap(), Some(source), "{shown}");
            assert_eq!(taken, header.len(), "{shown}: what follows is not the header's");
        }
    }
}

#[test]
fn what_is_no_header_is_refused_as_soon_as_that_is_known() {
    let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(MAX_V1 - 15));
    for (bytes, within) in [
        (&b"GET / HTTP/1.1\r\n"[..], 12),
        (b"\x16\x03\x01\x02\x00\x01", 6),
        (b"PROXX", 5),
        (b"\r\n\r\nX", 5),
        (too_long.as_bytes(), MAX_V1),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 50000\r\n", 64),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 50000 443 \r\n", 64),
        (b"PROXY TCP4  192.0.2.1 10.0.0.1 50000 443\r\n", 64),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 +50000 443\r\n", 64),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 050000 443\r\n", 64),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 50000 65536\r\n", 64),
        (b"PROXY TCP4 192.0.2.1 ::1 50000 443\r\n", 64),
        (b"PROXY TCP6 192.0.2.1 10.0.0.1 50000 443\r\n", 64),
        (b"PROXY TCP4 192.0.2.01 10.0.0.1 50000 443\r\n", 64),
        (b"PROXY UDP4 192.0.2.1 10.0.0.1 50000 443\r\n", 64),
        (b"PROXY tcp4 192.0.2.1 10.0.0.1 50000 443\r\n", 64),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 50000 443\nGET / HTTP/1.1\r\n", 64),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 50000 \xff\r\n", 64),
        (&v2(0x11, 0x11, &IPV4), 64),
        (&v2(0x22, 0x11, &IPV4), 64),
        (&v2(0x21, 0x41, &IPV4), 64),
        (&v2(0x21, 0x11, &IPV4[..11]), 64),
        (&v2(0x21, 0x21, &IPV4), 64),
        (&v2(0x21, 0x11, &[0; MAX_V2 - 15]), 16),
    ] {
        let (taken, found) = feed(bytes, usize::MAX);
        let shown = bytes.escape_ascii();
        assert!(found.is_err(), "{shown}: {found:?}");
        assert!(taken <= within, "{shown}: after {taken} bytes");
    }
}

#[tokio::test]
async fn what_follows_stays_in_the_stream() {
    let (mut peer, mut stream) = tokio::io::duplex(256);
    peer.write_all(b"PROXY TCP4 192.0.2.1 10.0.0.1 50000 443\r\nnext")
        .await
        .unwrap();
    assert_eq!(read(&mut stream).await.unwrap(), client("192.0.2.1:50000"));
    drop(peer);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "next");
}

#[tokio::test]
async fn a_connection_that_ends_within_the_header_is_no_client() {
    let (mut peer, mut stream) = tokio::io::duplex(256);
    peer.write_all(b"PROXY TCP4 192.0.2.1").await.unwrap();
    drop(peer);
    assert!(matches!(read(&mut stream).await, Err(BadHeader::Ended(_))));
}

proptest! {
    #[test]
    fn no_bytes_make_it_read_too_far_or_depend_on_how_they_are_cut(
        which in 0..3_usize, rest in prop::collection::vec(any::<u8>(), 0..300), most in 1..20_usize,
    ) {
        let bytes = [[&b""[..], V1, V2][which], &rest].concat();
        let (whole, found) = feed(&bytes, usize::MAX);
        let (cut, other) = feed(&bytes, most);
        prop_assert!(whole <= bytes.len());
        match (found, other) {
            (Ok(found), Ok(other)) => prop_assert_eq!((whole, found), (cut, other)),
            (found, other) => prop_assert!(found.is_err() && other.is_err()),
        }
    }
}
