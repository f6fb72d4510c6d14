//! Messages there and back over open sessions.
//!
//! In: sessions and a job: how many messages of which size, how many of them on their way per session. Out: the wall time and
//! the latency of each message. A session sends its next message when one has come back, one write per message.
//! Every byte that comes is compared with what was sent; the first difference ends the run.

use std::{collections::VecDeque, io::Read as _, time::Duration};

use super::{PATIENCE, Session, stalled, would_block};
use crate::{
    clock::now,
    failure::Failure,
    outbox::Outbox,
    poll::{Interest, Poller},
    wire::{self, Header, Payloads},
};

/// A job of messages there and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) bytes: usize,
    pub(crate) in_flight: usize,
    /// Messages of all sessions together.
    pub(crate) messages: usize,
}

/// What the client saw of an exchange.
#[derive(Debug)]
pub(crate) struct Exchanged {
    pub(crate) wall: Duration,
    /// In ascending order.
    pub(crate) latencies: Vec<Duration>,
}

struct Run<'a> {
    job: Exchange,
    payloads: &'a Payloads,
    /// Messages that may still be sent.
    budget: usize,
    latencies: Vec<Duration>,
    frame: Vec<u8>,
}

/// One session while it exchanges.
struct Line<'a> {
    session: &'a mut Session,
    outbox: Outbox,
    sent_at: VecDeque<Duration>,
    /// The message that is coming in, and how much of it has come.
    coming: Option<(Header, usize)>,
    waits: bool,
}

const READ_BUFFER: usize = 256 * 1024;

/// Exchanges messages until the job is done.
pub(crate) fn exchange(
    sessions: &mut [Session],
    job: Exchange,
    payloads: &Payloads,
) -> Result<Exchanged, Failure> {
    let mut poller = Poller::try_new()?;
    let mut run = Run::new(job, payloads);
    let mut lines: Vec<_> = sessions.iter_mut().map(Line::new).collect();
    for (line, token) in lines.iter().zip(0..) {
        poller.add(&line.session.stream, token, Interest::READ)?;
    }
    let start = now();
    for _ in 0..job.in_flight {
        for line in &mut lines {
            line.send(&mut run)?;
        }
    }
    let mut buffer = vec![0; READ_BUFFER];
    let mut ready = Vec::new();
    for (line, token) in lines.iter_mut().zip(0..) {
        line.watch(&poller, token)?;
    }
    while run.latencies.len() < job.messages {
        ready.extend(poller.wait(Some(PATIENCE))?.map(|event| event.token));
        if ready.is_empty() {
            return Err(stalled(run.latencies.len(), job.messages));
        }
        for token in ready.drain(..) {
            let line = &mut lines[usize::try_from(token).expect("tokens are made from indices")];
            line.serve(&mut run, &mut buffer)?;
            line.watch(&poller, token)?;
        }
    }
    let wall = now() - start;
    run.latencies.sort_unstable();
    Ok(Exchanged {
        wall,
        latencies: run.latencies,
    })
}

impl<'a> Run<'a> {
    fn new(job: Exchange, payloads: &'a Payloads) -> Self {
        let latencies = Vec::with_capacity(job.messages);
        Self {
            job,
            payloads,
            budget: job.messages,
            latencies,
            frame: Vec::with_capacity(job.bytes + 14),
        }
    }
}

impl<'a> Line<'a> {
    fn new(session: &'a mut Session) -> Self {
        Self {
            session,
            outbox: Outbox::default(),
            sent_at: VecDeque::new(),
            coming: None,
            waits: false,
        }
    }

    /// Sends the next message, if the job has one left.
    fn send(&mut self, run: &mut Run<'_>) -> Result<(), Failure> {
        if run.budget == 0 {
            return Ok(());
        }
        run.budget -= 1;
        let Session {
            stream, number, sent, ..
        } = &mut *self.session;
        let payload = run.payloads.of(*number, *sent, run.job.bytes);
        let [a, b, c, d, ..] = (*sent as u64)
            .wrapping_add(1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_be_bytes();
        run.frame.clear();
        wire::write_frame(&mut run.frame, wire::BINARY, payload, Some([a, b, c, d]));
        *sent += 1;
        self.sent_at.push_back(now());
        self.outbox
            .send(stream, &run.frame)
            .map_err(|error| broken(&error))
    }

    fn serve(&mut self, run: &mut Run<'_>, buffer: &mut [u8]) -> Result<(), Failure> {
        self.outbox
            .flush(&mut self.session.stream)
            .map_err(|error| broken(&error))?;
        self.read(run, buffer)?;
        while self.session.stream.holds_more() {
            self.read(run, buffer)?;
        }
        Ok(())
    }

    fn read(&mut self, run: &mut Run<'_>, buffer: &mut [u8]) -> Result<(), Failure> {
        match self.session.stream.read(buffer) {
            Ok(0) => Err(Failure::Peer(
                "a session ended in the middle of the job".to_owned(),
            )),
            Ok(read) => self.take(&buffer[..read], run),
            Err(error) if would_block(&error) => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    }

    fn take(&mut self, mut input: &[u8], run: &mut Run<'_>) -> Result<(), Failure> {
        loop {
            let (header, have) = match self.coming.take() {
                Some(coming) => coming,
                None => match self.session.reader.feed(&mut input) {
                    Some(header) => (self.expected(header, run)?, 0),
                    None => return Ok(()),
                },
            };
            let (part, rest) = input.split_at((header.length - have).min(input.len()));
            input = rest;
            let Session { number, received, .. } = *self.session;
            if part != &run.payloads.of(number, received, header.length)[have..have + part.len()] {
                return Err(Failure::Corrupt(format!(
                    "session {number}, message {received}: payload differs"
                )));
            }
            if have + part.len() < header.length {
                self.coming = Some((header, have + part.len()));
                return Ok(());
            }
            self.session.received += 1;
            let sent_at = self
                .sent_at
                .pop_front()
                .expect("a message that came back whole was sent");
            run.latencies.push(now() - sent_at);
            self.send(run)?;
        }
    }

    fn expected(&self, header: Header, run: &Run<'_>) -> Result<Header, Failure> {
        let wanted = Header {
            opcode: wire::BINARY,
            fin: true,
            mask: None,
            length: run.job.bytes,
        };
        if header == wanted && !self.sent_at.is_empty() {
            return Ok(header);
        }
        Err(Failure::Corrupt(format!(
            "session {}: {header:?} instead of {wanted:?}",
            self.session.number
        )))
    }

    /// Watches for room only while bytes wait for it.
    fn watch(&mut self, poller: &Poller, token: u64) -> Result<(), Failure> {
        let waits = self.outbox.is_waiting() || self.session.stream.is_waiting();
        if waits != self.waits {
            self.waits = waits;
            poller.change(
                &self.session.stream,
                token,
                Interest {
                    read: true,
                    write: waits,
                },
            )?;
        }
        Ok(())
    }
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::Peer(format!("a session broke in the middle of the job: {error}"))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        net::{TcpListener, TcpStream},
        thread,
    };

    use super::*;
    use crate::{
        peers,
        stream::Stream,
        tls::{self, Certificates},
        wire::HeaderReader,
    };

    const JOB: Exchange = Exchange {
        bytes: 300,
        in_flight: 1,
        messages: 3,
    };

    /// A job over one session, whose backend sends these bytes whatever it is told.
    fn exchange_answered(answer: Vec<u8>) -> Result<Exchanged, Failure> {
        exchange_through(answer, None)
    }

    fn exchange_through(answer: Vec<u8>, files: Option<&Certificates>) -> Result<Exchanged, Failure> {
        let server = files.map(|files| tls::server(&files.certificate(), &files.key()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = listener.local_addr().unwrap();
        let stream = TcpStream::connect(endpoint).unwrap();
        stream.set_nonblocking(true).unwrap();
        let backend = thread::spawn(move || {
            let (backend, _) = listener.accept().unwrap();
            let mut backend = Stream::server(backend, server.as_ref()).unwrap();
            // Within TLS nothing can be said before something was heard.
            while backend
                .read(&mut [0; 4096])
                .is_err_and(|error| would_block(&error))
            {}
            backend.write_all(&answer).unwrap();
            backend
        });
        let session = Session {
            stream: Stream::client(stream, files.map(|files| &files.client)).unwrap(),
            endpoint,
            number: 1,
            sent: 0,
            received: 0,
            reader: HeaderReader::default(),
        };
        let outcome = exchange(&mut [session], JOB, &Payloads::new(JOB.bytes));
        drop(backend.join().unwrap());
        outcome
    }

    /// One frame per message of the job.
    fn answers() -> Vec<Vec<u8>> {
        let payloads = Payloads::new(JOB.bytes);
        let frame = |sequence| {
            let mut frame = Vec::new();
            wire::write_frame(
                &mut frame,
                wire::BINARY,
                payloads.of(1, sequence, JOB.bytes),
                None,
            );
            frame
        };
        (0..JOB.messages).map(frame).collect()
    }

    #[test]
    fn the_right_bytes_complete_the_job() {
        let seen = exchange_answered(answers().concat()).unwrap();
        assert_eq!(seen.latencies.len(), JOB.messages);
    }

    #[test]
    fn a_wrong_byte_anywhere_ends_the_run() {
        let right = answers().concat();
        for place in [0, 1, 4, 150, right.len() - 1] {
            let mut wrong = right.clone();
            wrong[place] ^= 1;
            let outcome = exchange_answered(wrong);
            assert!(
                matches!(outcome, Err(Failure::Corrupt(_))),
                "byte {place}: {outcome:?}"
            );
        }
    }

    #[test]
    fn a_wrong_byte_within_tls_ends_the_run() {
        let files = Certificates::try_new(peers::folder()).unwrap();
        let right = answers().concat();
        let seen = exchange_through(right.clone(), Some(&files)).unwrap();
        assert_eq!(seen.latencies.len(), JOB.messages);
        let mut wrong = right;
        wrong[150] ^= 1;
        let outcome = exchange_through(wrong, Some(&files));
        assert!(matches!(outcome, Err(Failure::Corrupt(_))), "{outcome:?}");
    }

    #[test]
    fn repeated_or_reordered_messages_end_the_run() {
        let [first, second, third] = &answers()[..] else {
            panic!("the job has three messages")
        };
        for wrong in [[first, first, second], [first, third, second]] {
            let wrong = wrong.map(Vec::as_slice).concat();
            assert!(matches!(exchange_answered(wrong), Err(Failure::Corrupt(_))));
        }
    }
}
