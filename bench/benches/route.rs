//! What a look-up costs: the target of a request read and judged, and its route found, among few routes and among many.
//!
//! The routes that are many share one host, so that all are in one tree; every host has them, so that the look-up for a
//! wildcard passes through all of its suffixes.

use std::{hint::black_box, path::Path};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{Request, request::Parts};
use longhaul::{
    config,
    route::{Table, Target},
};

/// A table of `count` routes each for a host, for the subdomains of another, and for any host.
fn table(count: usize) -> Table {
    let mut text = "listeners: [{ address: 127.0.0.1:8080 }]\n\
                    services: { chat: { discovery: { static: [127.0.0.1:9001] } } }\n\
                    routes:\n"
        .to_owned();
    for n in 0..count {
        for host in ["host: chat.example.com, ", "host: \"*.example.net\", ", ""] {
            text += &format!(
                "  - {{ match: {{ {host}path: \"/tenant/{n}/room/{{room}}/{{*rest}}\" }}, service: chat }}\n"
            );
        }
    }
    let config = config::parse(&text, Path::new(".")).unwrap_or_else(|problems| panic!("{problems:?}"));
    Table::new(&config.routes)
}

fn head(host: &str, path: &str) -> Parts {
    let request = Request::get(path).header("host", host).body(());
    request.expect("a request").into_parts().0
}

fn find(c: &mut Criterion) {
    let path = "/tenant/0/room/lobby/socket?user=someone&token=0123456789";
    for (name, host, path) in [
        ("exact host", "chat.example.com:8080", path),
        ("wildcard host", "a.b.c.example.net", path),
        ("any host", "203.0.113.7", path),
        ("no route", "chat.example.com", "/tenant/0/room"),
    ] {
        let mut group = c.benchmark_group(format!("route/{name}"));
        let head = head(host, path);
        for routes in [1, 1_000] {
            let table = table(routes);
            group.bench_function(BenchmarkId::from_parameter(3 * routes), |b| {
                b.iter(|| {
                    let target = Target::of(black_box(&head)).expect("a target");
                    table.find(&target, &head.headers).is_ok()
                });
            });
            let target = Target::of(&head).expect("a target");
            assert_eq!(table.find(&target, &head.headers).is_ok(), name != "no route");
        }
        group.finish();
    }
}

criterion_group!(benches, find);
criterion_main!(benches);
