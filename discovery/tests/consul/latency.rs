//! How long after Consul has answered a change the new snapshot is there.

use discovery::provider::consul::{Agent, Wanted};
use tokio::time::{Duration, Instant};

use crate::{Watch, server::Server};

#[tokio::test]
async fn a_change_is_published_within_a_tenth_of_a_second() {
    let server = Server::alone().await;
    let agent = Agent::new(server.settings());
    let mut watches = Vec::new();
    for number in 0..50u16 {
        let name = format!("s{number}");
        server.register(&name, &name, 9000).await;
        let mut watch = Watch::of(agent.clone(), Wanted::service(&name));
        watch.until_ports(&[9000]).await;
        watches.push((name, watch));
    }
    let mut took = Vec::new();
    for port in 9001..=9002 {
        for (name, watch) in &mut watches {
            server.register(name, name, port).await;
            let answered = Instant::now();
            watch.until_ports(&[port]).await;
            took.push(answered.elapsed());
        }
    }
    took.sort_unstable();
    let (median, late) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!(
        "change answered -> snapshot published: p50 {median:?}, p99 {late:?}, {} changes",
        took.len()
    );
    assert!(median <= Duration::from_millis(100), "{median:?}");
}
