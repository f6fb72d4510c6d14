//! What a proxy cannot beat: relays that know nothing but bytes.
//!
//! In: connections. Out: each joined to the next endpoint in turn, bytes both ways, nothing read or kept beyond that.
//! [`Means::Copy`] reads into one buffer and writes it on; [`Means::Splice`] moves the bytes through a pipe in the kernel.
//! Not here: HTTP, frames, load, limits, logs, timers. That is the work whose price the table shows.

mod pair;

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
};

use crate::{
    poll::{Interest, Poller, Ready},
    slots::Slots,
};
use pair::{Carrier, Flow, Pair};

const LISTENER: u64 = u64::MAX;

/// How bytes are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    Copy,
    Splice,
}

struct Relay<'a> {
    listener: TcpListener,
    endpoints: &'a [SocketAddr],
    turn: usize,
    pairs: Slots<Pair>,
    carrier: Carrier,
}

/// Relays until it is killed.
pub(crate) fn run(means: Means, listen: SocketAddr, endpoints: &[SocketAddr]) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let mut poller = Poller::try_new()?;
    poller.add(&listener, LISTENER, Interest::READ)?;
    let mut relay = Relay {
        listener,
        endpoints,
        turn: 0,
        pairs: Slots::default(),
        carrier: Carrier::new(means),
    };
    let mut ready = Vec::new();
    loop {
        ready.extend(poller.wait(None)?);
        for event in ready.drain(..) {
            if event.token == LISTENER {
                relay.accept(&poller)?
            } else {
                relay.move_on(&poller, event)
            }
        }
    }
}

impl Relay<'_> {
    fn accept(&mut self, poller: &Poller) -> io::Result<()> {
        loop {
            let client = match self.listener.accept() {
                Ok((client, _)) => client,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let endpoint = self.endpoints[self.turn % self.endpoints.len()];
            self.turn += 1;
            // On loopback a connect does not wait, so a plain one is the cheapest.
            let Ok(backend) = TcpStream::connect(endpoint) else {
                continue;
            };
            let slot = self.pairs.next();
            for (side, stream) in [&client, &backend].into_iter().enumerate() {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                poller.add(stream, token(slot, side), Interest::READ)?;
            }
            self.pairs.put(slot, Pair::new(client, backend));
        }
    }

    fn move_on(&mut self, poller: &Poller, event: Ready) {
        let slot = usize::try_from(event.token / 2).expect("tokens are made from indices");
        let side = usize::from(event.token % 2 == 1);
        let Some(pair) = self.pairs.at(slot) else { return };
        let before = [pair.interest(0), pair.interest(1)];
        let flow = pair.move_on(side, event, &mut self.carrier);
        let mut over = !matches!(flow, Ok(Flow::Open));
        for (side, before) in before.into_iter().enumerate() {
            let wanted = pair.interest(side);
            if !over && wanted != before {
                over = poller
                    .change(pair.stream(side).as_fd(), token(slot, side), wanted)
                    .is_err();
            }
        }
        if over {
            self.pairs.remove(slot);
        }
    }
}

fn token(slot: usize, side: usize) -> u64 {
    (slot * 2 + side) as u64
}
