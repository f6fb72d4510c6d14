//! Whole sessions, over streams in memory and with time that stands still.

mod closing;
mod injecting;
mod orders;
mod passing;
mod peer;
mod pings;
mod time;

use self::peer::{Running, limits};
use super::*;

#[test]
fn a_session_between_two_sockets_is_small() {
    use tokio::net::TcpStream;

    fn future_size<F>(_: impl FnOnce(Ends<TcpStream, TcpStream>, Arc<Session>) -> F) -> usize {
        size_of::<F>()
    }
    let limits = limits();
    let size = future_size(|ends, session| run(ends, session, &limits));
    assert!(size <= SESSION_SIZE, "{size} bytes");
}

#[tokio::test(start_paused = true)]
async fn each_stream_is_told_which_leg_it_is() {
    let running = Running::start(&limits());
    assert_eq!(running.client.leg(), Some(Leg::Client));
    assert_eq!(running.backend.leg(), Some(Leg::Backend));
}

/// What a session's future may take of the 2.5 KiB that an idle session may take in all. 16 bytes are for the two sockets'
/// handles on the runtime, which have a second variant since the DNS client enables tokio's multi-thread runtime; 32 for
/// what a busy socket has beside its handle.
const SESSION_SIZE: usize = 576;
