//! What a pick costs: one endpoint leased and one session ended, through the public interface, lock and clock included.
//!
//! Every endpoint holds two sessions on average, so that picks change the order of load and not only one end of it.

use std::{
    hint::black_box,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use discovery::Endpoint;
use longhaul::{
    balance::{Balance, Bond, Lease, Pick, Settings, Tried},
    config::Strategy,
};
use tower::{Service, discover::Change};

const STRATEGIES: [Strategy; 3] = [
    Strategy::RoundRobin,
    Strategy::LeastConnection,
    Strategy::PowerOfTwo,
];

fn balance(strategy: Strategy, endpoints: u32) -> Balance {
    let balance = Balance::new(
        Arc::from("bench"),
        Settings {
            strategy,
            max_sessions_per_endpoint: None,
        },
    );
    for n in 0..endpoints {
        let endpoint = Endpoint::at(SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + n), 80)));
        balance.apply(Change::Insert(endpoint.identity.clone(), endpoint));
    }
    balance.mark_known();
    balance
}

fn lease(balance: &mut Balance, pick: Pick) -> Lease {
    match pin!(balance.call(pick)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(lease)) => lease,
        other => panic!("no endpoint: {other:?}"),
    }
}

fn picks(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick and end");
    for strategy in STRATEGIES {
        for endpoints in [4, 10_000] {
            let mut balance = balance(strategy, endpoints);
            let mut held: Vec<_> = (0..2 * endpoints)
                .map(|_| lease(&mut balance, Pick::new()))
                .collect();
            let mut rng = fastrand::Rng::with_seed(1);
            group.bench_function(BenchmarkId::new(format!("{strategy:?}"), endpoints), |b| {
                b.iter(|| {
                    let ended = rng.usize(..held.len());
                    held[ended] = lease(&mut balance, Pick::new());
                });
            });
        }
    }
    group.finish();
}

fn retries(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick after two tries, and end");
    for strategy in STRATEGIES {
        let mut balance = balance(strategy, 10_000);
        let mut tried = Tried::new();
        for _ in 0..2 {
            tried.add(
                &lease(&mut balance, Pick::except(tried.clone()))
                    .endpoint()
                    .identity,
            );
        }
        group.bench_function(BenchmarkId::new(format!("{strategy:?}"), 10_000), |b| {
            b.iter(|| drop(black_box(lease(&mut balance, Pick::except(tried.clone())))));
        });
    }
    group.finish();
}

fn hashes(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick by hash, and end");
    for endpoints in [4, 10_000] {
        let mut balance = balance(Strategy::LeastConnection, endpoints);
        balance.expect_hashes(true);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut held: Vec<_> = (0..2 * endpoints)
            .map(|_| lease(&mut balance, Pick::new().bound(Bond::Hash(rng.u64(..)))))
            .collect();
        group.bench_function(BenchmarkId::from_parameter(endpoints), |b| {
            b.iter(|| {
                let ended = rng.usize(..held.len());
                held[ended] = lease(&mut balance, Pick::new().bound(Bond::Hash(rng.u64(..))));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, picks, retries, hashes);
criterion_main!(benches);
