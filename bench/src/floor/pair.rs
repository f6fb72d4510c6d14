//! Two joined sockets of a floor relay, and what carries bytes between them.
//!
//! In: readiness of one side. Out: bytes moved to the other. A side that does not take them stops the reading of the first;
//! an end is passed on as soon as all bytes before it are.

use std::{
    io::{self, Read as _},
    net::{Shutdown, TcpStream},
};

use rustix::{
    fd::OwnedFd,
    io::Errno,
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};

use super::Means;
use crate::{
    outbox::Outbox,
    poll::{Interest, Ready},
};

const BUFFER: usize = 64 * 1024;
const PIPE: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Pair {
    streams: [TcpStream; 2],
    /// What side 0 and side 1 have not taken yet.
    left: [Left; 2],
    /// Whether side 0 and side 1 have ended.
    ended: [bool; 2],
}

/// Whether a pair goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Open,
    Over,
}

/// Bytes on their way to one side.
#[derive(Debug, Default)]
struct Left {
    outbox: Outbox,
    pipe: Option<(Pipe, usize)>,
}

#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// What carries bytes: a buffer, or pipes that wait for use.
#[derive(Debug)]
pub(super) struct Carrier {
    means: Means,
    buffer: Vec<u8>,
    pipes: Vec<Pipe>,
}

// === impl Pair ===

impl Pair {
    pub(super) fn new(client: TcpStream, backend: TcpStream) -> Self {
        Self {
            streams: [client, backend],
            left: Default::default(),
            ended: [false; 2],
        }
    }

    pub(super) fn stream(&self, side: usize) -> &TcpStream {
        &self.streams[side]
    }

    pub(super) fn interest(&self, side: usize) -> Interest {
        Interest {
            read: !self.ended[side] && !self.left[1 - side].waits(),
            write: self.left[side].waits(),
        }
    }

    pub(super) fn move_on(&mut self, side: usize, event: Ready, carrier: &mut Carrier) -> io::Result<Flow> {
        let interest = self.interest(side);
        if !interest.read && !interest.write {
            // A side that is watched for nothing only wakes to say that it broke.
            return Ok(Flow::Over);
        }
        if event.write && interest.write {
            carrier.flush(&self.streams[side], &mut self.left[side])?;
            if !self.left[side].waits() && self.ended[1 - side] {
                self.streams[side].shutdown(Shutdown::Write)?;
            }
        }
        if event.read && interest.read {
            let [from, to] = [&self.streams[side], &self.streams[1 - side]];
            if carrier.carry(from, to, &mut self.left[1 - side])? == Flow::Over {
                self.ended[side] = true;
                to.shutdown(Shutdown::Write)?;
            }
        }
        let over = self.ended == [true; 2] && !self.left.iter().any(Left::waits);
        Ok(if over { Flow::Over } else { Flow::Open })
    }
}

impl Left {
    fn waits(&self) -> bool {
        self.outbox.is_waiting() || self.pipe.is_some()
    }
}

// === impl Carrier ===

impl Carrier {
    pub(super) fn new(means: Means) -> Self {
        let buffer = if means == Means::Copy { BUFFER } else { 0 };
        Self {
            means,
            buffer: vec![0; buffer],
            pipes: Vec::new(),
        }
    }

    /// Moves what one read gives; nothing of this direction may be left from before.
    fn carry(&mut self, from: &TcpStream, to: &TcpStream, left: &mut Left) -> io::Result<Flow> {
        match self.means {
            Means::Copy => self.copy(from, to, left),
            Means::Splice => self.splice(from, to, left),
        }
    }

    fn copy(&mut self, mut from: &TcpStream, mut to: &TcpStream, left: &mut Left) -> io::Result<Flow> {
        match from.read(&mut self.buffer) {
            Ok(0) => Ok(Flow::Over),
            Ok(read) => left
                .outbox
                .send(&mut to, &self.buffer[..read])
                .map(|()| Flow::Open),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Flow::Open),
            Err(error) => Err(error),
        }
    }

    fn splice(&mut self, from: &TcpStream, to: &TcpStream, left: &mut Left) -> io::Result<Flow> {
        let pipe = self.pipes.pop().map_or_else(Pipe::try_new, Ok)?;
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        match splice(from, None, &pipe.writer, None, PIPE, flags) {
            Ok(0) => Ok(Flow::Over),
            Ok(read) => {
                left.pipe = Some((pipe, read));
                self.flush(to, left)?;
                return Ok(Flow::Open);
            }
            Err(Errno::AGAIN) => Ok(Flow::Open),
            Err(error) => Err(error.into()),
        }
        .inspect(|_| self.pipes.push(pipe))
    }

    /// Writes what is left; an emptied pipe goes back to the others.
    fn flush(&mut self, mut to: &TcpStream, left: &mut Left) -> io::Result<()> {
        left.outbox.flush(&mut to)?;
        let Some((pipe, mut bytes)) = left.pipe.take() else {
            return Ok(());
        };
        while bytes > 0 {
            match splice(
                &pipe.reader,
                None,
                to,
                None,
                bytes,
                SpliceFlags::MOVE | SpliceFlags::NONBLOCK,
            ) {
                Ok(moved) => bytes -= moved,
                Err(Errno::AGAIN) => {
                    left.pipe = Some((pipe, bytes));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.pipes.push(pipe);
        Ok(())
    }
}

impl Pipe {
    fn try_new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A larger pipe is a favour the kernel may refuse; the default one works too.
        let _ = fcntl_setpipe_size(&writer, PIPE);
        Ok(Self { reader, writer })
    }
}
