//! The end of a connection that was answered and is not wanted any more.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::timers::timeout;

/// Closes without losing the last answer: a socket that is closed with unread bytes is reset, and a reset can overtake
/// what was sent (RFC 9112, 9.6).
pub(super) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let rest = async {
        let mut discarded = [0; 1024];
        let _ = stream.shutdown().await;
        while matches!(stream.read(&mut discarded).await, Ok(1..)) {}
    };
    let _ = timeout(LINGER, rest).await;
}

/// How long the end of a client's stream is waited for after the last answer.
const LINGER: Duration = Duration::from_secs(1);
