//! Bytes that a socket has not taken yet.
//!
//! In: writes of any size. Out: as many bytes as the kernel takes at once; the rest, in order, at the next flush.

use std::io::{self, Write};

/// Bytes that a socket has not taken yet; empty costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    done: usize,
}

impl Outbox {
    /// Writes what the socket takes, keeps the rest.
    pub(crate) fn send(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.is_waiting() {
            0
        } else {
            write_some(socket, bytes)?
        };
        self.bytes.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Writes what was kept, here or by the socket itself.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        socket.flush()?;
        if !self.is_waiting() {
            return Ok(());
        }
        self.done += write_some(socket, &self.bytes[self.done..])?;
        if self.done == self.bytes.len() {
            *self = Self::default();
        }
        Ok(())
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.bytes.is_empty()
    }
}

/// Writes until the socket takes no more.
fn write_some(socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match socket.write(&bytes[done..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(wrote) => done += wrote,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
