use std::{
    net::TcpStream as Client,
    sync::atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;

use super::*;
use crate::{
    config::Limits,
    listen::Rules,
    policy::headers::Forwarding,
    telemetry::{LogLoss, Rarely, metrics::Metrics},
};

/// Counts who is let in.
struct Count(Arc<AtomicUsize>);

impl Deliver for Count {
    fn deliver(&self, _: Accepted) -> Result<(), Accepted> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn refused(&self) {
        panic!("there is room");
    }

    fn failed(&self, error: &io::Error, _: bool) {
        panic!("{error}");
    }
}

#[tokio::test]
async fn all_whom_the_kernel_has_accepted_are_let_in_before_the_socket_is_closed() {
    // More than a task may do in one turn.
    const CLIENTS: usize = 300;
    let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
    let bound = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..CLIENTS).map(|_| Client::connect(bound).unwrap()).collect();
    let count = Arc::new(AtomicUsize::new(0));
    let door = Door {
        site: Arc::new(Site {
            configured: bound,
            bound,
            rules: ArcSwap::from_pointee(Rules {
                forwarding: Arc::new(Forwarding::new(bound.port(), false, &[])),
                limits: Limits {
                    connections: None,
                    request_head: 16 * 1024,
                    request_headers: 100,
                    request_deadline: Duration::from_secs(10),
                },
                tls: None,
                proxy_protocol: false,
                http2: false,
            }),
            metrics: Metrics::new(LogLoss::default()),
            refusals: Rarely::default(),
        }),
        admission: Admission::new(1, 20_000, None),
        worker: 0,
        deliver: Count(Arc::clone(&count)),
    };
    let (_stop, stopped) = watch::channel(true);
    run(listener, door, stopped).await.unwrap();
    assert_eq!(count.load(Ordering::Relaxed), CLIENTS);
    Client::connect(bound).unwrap_err();
    drop(clients);
}
