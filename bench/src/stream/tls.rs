//! Bytes within TLS over a socket that does not block.
//!
//! In: records, as many as one system call brings. Out: what was in them. A write becomes records at once, and these one
//! system call if the socket takes them: as few calls as the same job needs without TLS.

use std::{
    cell::RefCell,
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

use rustls::Connection;

/// A connection within TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(super) socket: TcpStream,
    connection: Connection,
    /// What a read had no room for.
    left: Vec<u8>,
}

const RECORDS: usize = 128 * 1024;

thread_local! {
    /// Records between the socket and rustls, which alone would read 4 KiB at a time.
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; RECORDS]);
}

impl Tls {
    pub(super) fn new(socket: TcpStream, mut connection: Connection) -> Self {
        // A message is one write, however long.
        connection.set_buffer_limit(None);
        Self {
            socket,
            connection,
            left: Vec::new(),
        }
    }

    /// The end of the connection is that of the socket: what says so within TLS comes before it.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.left.is_empty() {
            let taken = self.left.as_slice().read(buffer)?;
            self.left.drain(..taken);
            return Ok(taken);
        }
        INPUT.with_borrow_mut(|input| {
            let read = self.socket.read(input)?;
            if read == 0 {
                return Ok(0);
            }
            match self.take(&input[..read], buffer)? {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                taken => Ok(taken),
            }
        })
    }

    fn take(&mut self, mut records: &[u8], buffer: &mut [u8]) -> io::Result<usize> {
        let mut taken = 0;
        while !records.is_empty() {
            if self.connection.read_tls(&mut records)? == 0 {
                // Nothing counts any more after the end within TLS.
                break;
            }
            let state = self.connection.process_new_packets();
            // An alert too, if that is what it comes to.
            self.flush()?;
            let mut more = state.map_err(io::Error::other)?.plaintext_bytes_to_read();
            let mut reader = self.connection.reader();
            while more > 0 && taken < buffer.len() {
                let read = reader.read(&mut buffer[taken..])?;
                (taken, more) = (taken + read, more - read);
            }
            if more > 0 {
                let start = self.left.len();
                self.left.resize(start + more, 0);
                reader.read_exact(&mut self.left[start..])?;
            }
        }
        Ok(taken)
    }

    pub(super) fn holds_more(&self) -> bool {
        !self.left.is_empty()
    }

    /// All or nothing.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if self.is_waiting() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = self.connection.writer().write(bytes)?;
        self.flush()?;
        Ok(taken)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.connection.wants_write()
    }

    pub(super) fn say_end(&mut self) -> io::Result<()> {
        self.connection.send_close_notify();
        self.flush()
    }
}
