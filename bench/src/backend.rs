//! The echo backend: one process, one thread, any number of endpoints.
//!
//! In: WebSocket upgrades and whole frames. Out: the 101, which names the address that was dialled in `x-endpoint`, and every
//! message back once it has arrived completely, one write each, as servers do that hand whole messages to an application.
//! It listens on one port of every address and answers on 127.0.0.0/8 only: one socket that stands for as many endpoints as
//! there are loopback addresses. A second port is for the same within TLS. It prints both and ends with its standard input, so
//! with the run.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::Arc,
};

use rustls::ServerConfig;

use crate::{
    outbox::Outbox,
    poll::{Interest, Poller},
    slots::Slots,
    stream::Stream,
    tls,
    wire::{self, Header, HeaderReader},
};

const STDIN: u64 = u64::MAX;
const PLAIN: u64 = u64::MAX - 1;
const TLS: u64 = u64::MAX - 2;
const READ_BUFFER: usize = 256 * 1024;

/// Where proxies connect.
#[derive(Debug)]
struct Door {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

#[derive(Debug)]
struct Session {
    stream: Stream,
    /// The request head until it is whole.
    head: Option<Vec<u8>>,
    reader: HeaderReader,
    header: Option<Header>,
    payload: Vec<u8>,
    frame: Vec<u8>,
    outbox: Outbox,
}

/// What becomes of a session after its bytes were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Stay,
    End,
}

/// Serves until standard input ends; within TLS with this certificate.
pub(crate) fn run(certificate: &Path, key: &Path) -> io::Result<()> {
    let plain = Door::open(None)?;
    let tls = Door::open(Some(tls::server(certificate, key)?))?;
    let mut poller = Poller::try_new()?;
    poller.add(io::stdin(), STDIN, Interest::READ)?;
    poller.add(&plain, PLAIN, Interest::READ)?;
    poller.add(&tls, TLS, Interest::READ)?;
    writeln!(io::stdout(), "{} {}", plain.port()?, tls.port()?)?;

    let mut sessions = Slots::default();
    let mut buffer = vec![0; READ_BUFFER];
    let mut ready = Vec::new();
    loop {
        ready.extend(poller.wait(None)?.map(|event| event.token));
        for token in ready.drain(..) {
            match token {
                STDIN => return Ok(()),
                PLAIN => accept(&plain, &poller, &mut sessions)?,
                TLS => accept(&tls, &poller, &mut sessions)?,
                token => {
                    let slot = usize::try_from(token).expect("tokens are made from indices");
                    let Some(session) = sessions.at(slot) else {
                        continue;
                    };
                    if serve(session, &mut buffer, &poller, token).unwrap_or(Next::End) == Next::End {
                        sessions.remove(slot);
                    }
                }
            }
        }
    }
}

fn accept(door: &Door, poller: &Poller, sessions: &mut Slots<Session>) -> io::Result<()> {
    loop {
        let stream = match door.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if !stream.local_addr()?.ip().is_loopback() {
            continue;
        }
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let token = sessions.next();
        poller.add(&stream, token as u64, Interest::READ)?;
        sessions.put(token, Session::new(Stream::server(stream, door.tls.as_ref())?));
    }
}

fn serve(session: &mut Session, buffer: &mut [u8], poller: &Poller, token: u64) -> io::Result<Next> {
    let was_waiting = session.is_waiting();
    let next = session.serve(buffer)?;
    let waits = session.is_waiting();
    if waits != was_waiting {
        // A client that does not read is not read from either.
        poller.change(
            &session.stream,
            token,
            if waits { Interest::WRITE } else { Interest::READ },
        )?;
    }
    Ok(next)
}

// === impl Door ===

impl Door {
    fn open(tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, tls })
    }

    fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

// === impl Session ===

impl Session {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            head: Some(Vec::new()),
            reader: HeaderReader::default(),
            header: None,
            payload: Vec::new(),
            frame: Vec::new(),
            outbox: Outbox::default(),
        }
    }

    fn is_waiting(&self) -> bool {
        self.outbox.is_waiting() || self.stream.is_waiting()
    }

    fn serve(&mut self, buffer: &mut [u8]) -> io::Result<Next> {
        self.outbox.flush(&mut self.stream)?;
        if self.is_waiting() {
            return Ok(Next::Stay);
        }
        let mut next = self.read(buffer)?;
        while next == Next::Stay && self.stream.holds_more() {
            next = self.read(buffer)?;
        }
        Ok(next)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Next> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return Ok(Next::End),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::Stay),
            Err(error) => return Err(error),
        };
        if self.head.is_none() {
            return self.take(&buffer[..read]);
        }
        let rest = self.upgrade(&buffer[..read])?;
        self.take(&rest)
    }

    /// Collects the request head and answers it; what follows the head is returned.
    fn upgrade(&mut self, input: &[u8]) -> io::Result<Vec<u8>> {
        let head = self.head.get_or_insert_default();
        head.extend_from_slice(input);
        let Some((text, rest)) = wire::split_head(head) else {
            return Ok(Vec::new());
        };
        let key = wire::header(text, "sec-websocket-key").ok_or(io::ErrorKind::InvalidData)?;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{}: {}\r\n\r\n",
            wire::accept_for(key),
            wire::ENDPOINT_HEADER,
            self.stream.local_addr()?,
        );
        let rest = rest.to_vec();
        self.head = None;
        self.outbox.send(&mut self.stream, answer.as_bytes())?;
        Ok(rest)
    }

    fn take(&mut self, mut input: &[u8]) -> io::Result<Next> {
        loop {
            let Some(header) = self.header.or_else(|| self.reader.feed(&mut input)) else {
                return Ok(Next::Stay);
            };
            let missing = header.length - self.payload.len();
            let (part, rest) = input.split_at(missing.min(input.len()));
            self.payload.extend_from_slice(part);
            input = rest;
            if self.payload.len() < header.length {
                self.header = Some(header);
                return Ok(Next::Stay);
            }
            self.header = None;
            self.echo(header)?;
            if header.opcode == wire::CLOSE {
                self.stream.say_end()?;
                return Ok(Next::End);
            }
        }
    }

    fn echo(&mut self, header: Header) -> io::Result<()> {
        let key = header
            .mask
            .filter(|_| header.fin)
            .ok_or(io::ErrorKind::InvalidData)?;
        wire::apply_mask(&mut self.payload, key);
        self.frame.clear();
        wire::write_frame(&mut self.frame, header.opcode, &self.payload, None);
        self.payload.clear();
        self.outbox.send(&mut self.stream, &self.frame)
    }
}
