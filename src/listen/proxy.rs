//! The PROXY header, in which a load balancer says whose connection it passes on.
//!
//! In: the first bytes of a connection from a peer that may send one. Out: a [`Source`], and the connection behind the
//! header, of which nothing was read.
//!
//! - Both versions, told apart by their first bytes. A header of version 1 is one line of at most [`MAX_V1`] bytes; what
//!   follows the addresses in version 2 is skipped, and all of it has at most [`MAX_V2`] bytes.
//! - A connection of the load balancer's own (`LOCAL`, `UNKNOWN`, a family other than TCP over IP) keeps its own address.
//! - No byte too many is read: what follows is TLS or HTTP, and the kernel hands it to whoever reads it next.
//!
//! Not here: who may send one (`trusted_proxies`, in [`super::serve`]).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The sender's own, or one that has no address.
    Local,
    /// This client's.
    Client(SocketAddr),
}

/// What a header wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At least so many bytes more; so many are all its own.
    Read(usize),
    /// It is whole.
    Is(Source),
}

/// Why what came is no header.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadHeader {
    /// It begins like neither version.
    #[error("there is no PROXY header")]
    Missing,
    /// Longer than the longest.
    #[error("the PROXY header is too long")]
    Long,
    /// The line of version 1.
    #[error("the PROXY header of version 1 is malformed")]
    Line,
    /// The fields of version 2.
    #[error("the PROXY header of version 2 is malformed")]
    Fields,
    /// The connection ended.
    #[error("the connection ended within its PROXY header")]
    Ended(#[source] io::Error),
}

/// The longest line of version 1, its end included.
pub const MAX_V1: usize = 107;

/// The longest header of version 2: one that carries a client's certificate does not fit, all others do.
pub const MAX_V2: usize = 2048;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const V2_FIXED: usize = V2.len() + 4;
/// The shortest line of version 1: with it, nothing of what follows is read.
const SHORTEST_V1: usize = b"PROXY UNKNOWN\r\n".len();

/// Reads a header.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Source, BadHeader> {
    let mut header = [0; MAX_V2];
    let mut seen = 0;
    loop {
        match next(&header[..seen])? {
            Next::Is(source) => return Ok(source),
            Next::Read(more) => {
                match stream
                    .read(&mut header[seen..seen + more])
                    .await
                    .map_err(BadHeader::Ended)?
                {
                    0 => return Err(BadHeader::Ended(io::ErrorKind::UnexpectedEof.into())),
                    n => seen += n,
                }
            }
        }
    }
}

/// Judges the beginning of a header.
pub fn next(seen: &[u8]) -> Result<Next, BadHeader> {
    if begins(seen, V2) {
        next_v2(seen)
    } else if begins(seen, V1) {
        next_v1(seen)
    } else {
        Err(BadHeader::Missing)
    }
}

fn begins(seen: &[u8], with: &[u8]) -> bool {
    seen.iter().zip(with).all(|(seen, with)| seen == with)
}

fn next_v1(seen: &[u8]) -> Result<Next, BadHeader> {
    if let Some(line) = seen.strip_suffix(b"\r\n") {
        let line = std::str::from_utf8(line).map_err(|_| BadHeader::Line)?;
        return source_v1(line).map(Next::Is).ok_or(BadHeader::Line);
    }
    if seen.contains(&b'\n') {
        return Err(BadHeader::Line);
    }
    let more = match (seen, SHORTEST_V1.checked_sub(seen.len())) {
        (_, Some(more @ 1..)) => more,
        ([.., b'\r'], _) => 1,
        _ => 2,
    };
    match seen.len() + more <= MAX_V1 {
        true => Ok(Next::Read(more)),
        false => Err(BadHeader::Long),
    }
}

fn source_v1(line: &str) -> Option<Source> {
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    let source = match words.next()? {
        // What else is on that line says nothing.
        "UNKNOWN" => return Some(Source::Local),
        "TCP4" => addresses::<Ipv4Addr>(&mut words)?,
        "TCP6" => addresses::<Ipv6Addr>(&mut words)?,
        _ => return None,
    };
    words.next().is_none().then_some(Source::Client(source))
}

/// Source, destination, and the port of each.
fn addresses<'l, A: FromStr + Into<IpAddr>>(words: &mut impl Iterator<Item = &'l str>) -> Option<SocketAddr> {
    let address: A = words.next()?.parse().ok()?;
    let _destination: A = words.next()?.parse().ok()?;
    let source = SocketAddr::new(address.into(), port(words.next()?)?);
    port(words.next()?)?;
    Some(source)
}

fn port(word: &str) -> Option<u16> {
    // The parser of integers would take a sign.
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

fn next_v2(seen: &[u8]) -> Result<Next, BadHeader> {
    let Some((fixed, rest)) = seen.split_first_chunk::<V2_FIXED>() else {
        // Before its first byte it may be the other version, which may be shorter.
        let whole = if seen.len() < V2.len() { V2.len() } else { V2_FIXED };
        return Ok(Next::Read(whole - seen.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if V2_FIXED + length > MAX_V2 {
        return Err(BadHeader::Long);
    }
    if rest.len() < length {
        return Ok(Next::Read(length - rest.len()));
    }
    let source = match (command, family) {
        (0x20, _) => Source::Local,
        (0x21, 0x11) => Source::Client(source_v2::<4>(rest).ok_or(BadHeader::Fields)?),
        (0x21, 0x21) => Source::Client(source_v2::<16>(rest).ok_or(BadHeader::Fields)?),
        // Unspecified, datagrams, local sockets.
        (0x21, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => Source::Local,
        _ => return Err(BadHeader::Fields),
    };
    Ok(Next::Is(source))
}

/// The first of two addresses of so many bytes, and of the two ports that follow both.
fn source_v2<const N: usize>(fields: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let (address, rest) = fields.split_first_chunk::<N>()?;
    let (_destination, ports) = rest.split_first_chunk::<N>()?;
    let ([high, low, _, _], _) = ports.split_first_chunk::<4>()?;
    Some(SocketAddr::new(
        (*address).into(),
        u16::from_be_bytes([*high, *low]),
    ))
}

#[cfg(test)]
mod tests;
