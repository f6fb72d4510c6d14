//! What the frame tracker costs per chunk: one small message, a full buffer of small messages, a large payload.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use longhaul::relay::frames::{FrameTracker, Sender};

/// Binary messages from a client, `payload` bytes each, as many as fit into `size` bytes.
fn messages(payload: usize, size: usize) -> Vec<u8> {
    let length = match payload {
        0..=125 => vec![0x80 | payload as u8],
        126..=0xFFFF => [&[0x80 | 126][..], &(payload as u16).to_be_bytes()].concat(),
        _ => [&[0x80 | 127][..], &(payload as u64).to_be_bytes()].concat(),
    };
    let frame = [&[0x82][..], &length, &[1, 2, 3, 4], &vec![0x5A; payload]].concat();
    frame.repeat((size / frame.len()).max(1))
}

fn walk(c: &mut Criterion) {
    let mut group = c.benchmark_group("frames/walk");
    for (name, payload, size) in [
        ("one 64 B message", 64, 0),
        ("64 KiB of 64 B messages", 64, 64 << 10),
        ("64 KiB of empty messages", 0, 64 << 10),
        ("64 KiB of 1 KiB messages", 1 << 10, 64 << 10),
        ("one 64 KiB message", 64 << 10, 0),
    ] {
        let bytes = messages(payload, size);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut tracker = FrameTracker::new(Sender::Client);
        group.bench_function(name, |b| b.iter(|| tracker.walk(black_box(&bytes))));
        assert!(tracker.messages() > 0 && tracker.at_boundary());
    }
    let bytes = messages(64, 0);
    let mut tracker = FrameTracker::new(Sender::Client);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("one 64 B message byte by byte", |b| {
        b.iter(|| bytes.iter().for_each(|byte| tracker.walk(black_box(&[*byte]))));
    });
}

criterion_group!(benches, walk);
criterion_main!(benches);
