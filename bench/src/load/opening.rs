//! Handshakes: many sessions opened to be kept, or opened and closed again one after the other.
//!
//! In: where to connect and how many. Out: open sessions, or the wall time of so many whole lives: connect, request (within TLS
//! behind its handshake), 101 with the right answer to the key, Close, its echo, end of the connection from both sides.

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use super::{PATIENCE, Session, Targets, WINDOW, stalled, would_block};
use crate::{
    clock::now,
    failure::Failure,
    poll::{Interest, Poller},
    stream::Stream,
    wire::{self, HeaderReader},
};

/// A connection on its way to a session, or from it to its end.
struct Opening {
    stream: Stream,
    number: usize,
    /// What has come and is not yet understood.
    input: Vec<u8>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The request is out.
    Asked,
    /// The 101 is in.
    Open(SocketAddr),
    /// Our Close is out.
    Closing,
    /// The echo of our Close is in.
    Closed,
    /// So is the end of the connection.
    Over,
}

/// The Close that ends a session normally: code 1000.
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Opens sessions and keeps them.
pub(crate) fn open(targets: &Targets, count: usize) -> Result<Vec<Session>, Failure> {
    let mut sessions = Vec::with_capacity(count);
    drive(
        targets,
        count,
        |opening| {
            let Stage::Open(endpoint) = opening.stage else {
                return Ok(None);
            };
            Ok(Some(endpoint))
        },
        |opening, endpoint| sessions.push(opening.into_session(endpoint)),
    )?;
    Ok(sessions)
}

/// Opens and closes `count` sessions, a few at a time.
pub(crate) fn cycle(targets: &Targets, count: usize) -> Result<Duration, Failure> {
    let start = now();
    drive(
        targets,
        count,
        |opening| {
            if let Stage::Open(_) = opening.stage {
                opening.say_close()?;
            }
            Ok((opening.stage == Stage::Over).then_some(()))
        },
        |_, ()| (),
    )?;
    Ok(now() - start)
}

/// Takes each connection as far as `until` says.
fn drive<T>(
    targets: &Targets,
    count: usize,
    until: impl Fn(&mut Opening) -> Result<Option<T>, Failure>,
    mut done: impl FnMut(Opening, T),
) -> Result<(), Failure> {
    let mut poller = Poller::try_new()?;
    let mut openings: Vec<Option<Opening>> = Vec::with_capacity(count);
    let (mut finished, mut ready) = (0, Vec::new());
    while finished < count {
        while openings.len() < count && openings.len() - finished < WINDOW {
            let opening = Opening::start(targets, openings.len())?;
            poller.add(&opening.stream, opening.number as u64, Interest::READ)?;
            openings.push(Some(opening));
        }
        ready.extend(poller.wait(Some(PATIENCE))?.map(|event| event.token));
        if ready.is_empty() {
            return Err(stalled(finished, count));
        }
        for token in ready.drain(..) {
            let slot = &mut openings[usize::try_from(token).expect("tokens are made from indices")];
            let Some(opening) = slot else { continue };
            opening.read_all()?;
            if let Some(result) = until(opening)? {
                done(slot.take().expect("it was there just now"), result);
                finished += 1;
            }
        }
    }
    Ok(())
}

impl Opening {
    fn start(targets: &Targets, number: usize) -> Result<Self, Failure> {
        let socket = targets.connect(number)?;
        socket.set_nonblocking(true)?;
        let mut stream = Stream::client(socket, targets.tls.as_ref())?;
        // Nothing was sent yet, so the kernel has room for as little as this.
        stream.write_all(wire::request().as_bytes())?;
        Ok(Self {
            stream,
            number,
            input: Vec::new(),
            stage: Stage::Asked,
        })
    }

    fn read_all(&mut self) -> Result<(), Failure> {
        self.read()?;
        while self.stream.holds_more() {
            self.read()?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Failure> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) if self.stage == Stage::Closed => self.stage = Stage::Over,
            Ok(0) => return Err(self.wrong("ended early")),
            Ok(read) => self.input.extend_from_slice(&buffer[..read]),
            Err(error) if would_block(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && self.stage == Stage::Closed => {
                self.stage = Stage::Over;
            }
            Err(error) => return Err(self.wrong(&error.to_string())),
        }
        match self.stage {
            Stage::Asked => self.take_head(),
            Stage::Closing => self.take_close(),
            Stage::Open(_) | Stage::Closed | Stage::Over if self.input.is_empty() => Ok(()),
            Stage::Open(_) | Stage::Closed | Stage::Over => Err(Failure::Corrupt(format!(
                "session {}: bytes that nobody sent",
                self.number
            ))),
        }
    }

    fn take_head(&mut self) -> Result<(), Failure> {
        let Some((head, rest)) = wire::split_head(&self.input) else {
            return Ok(());
        };
        if !head.starts_with("HTTP/1.1 101 ") {
            let line = head.lines().next().unwrap_or_default().to_owned();
            return Err(self.wrong(&line));
        }
        if wire::header(head, "sec-websocket-accept") != Some(wire::accept_for(wire::KEY).as_str()) {
            return Err(Failure::Corrupt(format!(
                "session {}: wrong answer to the key",
                self.number
            )));
        }
        let endpoint = wire::header(head, wire::ENDPOINT_HEADER).and_then(|value| value.parse().ok());
        let endpoint = endpoint.ok_or_else(|| self.wrong("the backend's own header is gone"))?;
        let rest = rest.to_vec();
        self.input = rest;
        self.stage = Stage::Open(endpoint);
        Ok(())
    }

    fn say_close(&mut self) -> Result<(), Failure> {
        let mut frame = Vec::with_capacity(8);
        wire::write_frame(&mut frame, wire::CLOSE, &NORMAL, Some(MASK));
        self.stream.write_all(&frame)?;
        self.stage = Stage::Closing;
        Ok(())
    }

    fn take_close(&mut self) -> Result<(), Failure> {
        let mut echo = Vec::with_capacity(4);
        wire::write_frame(&mut echo, wire::CLOSE, &NORMAL, None);
        if self.input.len() < echo.len() {
            return Ok(());
        }
        if self.input != echo {
            return Err(Failure::Corrupt(format!(
                "session {}: Close came back changed",
                self.number
            )));
        }
        self.input.clear();
        self.stage = Stage::Closed;
        // Said again in TCP's words: Envoy holds a finished session for a second unless its client ends the connection too.
        match self.stream.end() {
            Err(error) if !is_gone(&error) => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn into_session(self, endpoint: SocketAddr) -> Session {
        let Self { stream, number, .. } = self;
        Session {
            stream,
            endpoint,
            number,
            sent: 0,
            received: 0,
            reader: HeaderReader::default(),
        }
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::Peer(format!("handshake {}: {what}", self.number))
    }
}

/// Whether the other side has ended the connection before we could.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), NotConnected | BrokenPipe | ConnectionReset)
}
