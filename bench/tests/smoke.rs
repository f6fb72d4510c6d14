//! The whole of a run on the floors, which need no installed peer.

use std::process::Command;

/// One quick round; Longhaul, which other tests build and start, is never there.
fn bench(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul-bench"));
    command
        .args(["--quick", "--rounds", "1", "--no-file"])
        .args(arguments)
        .env("LONGHAUL", "/nonexistent");
    let output = command.output().expect("the program was built beside this test");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// The cells of the row with this title.
fn row<'a>(table: &'a str, title: &str) -> Vec<&'a str> {
    let line = table
        .lines()
        .find(|line| line.contains(title))
        .unwrap_or_default();
    line.split('|')
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

#[test]
fn both_floors_carry_every_job() {
    let (success, text) = bench(&[
        "--peer",
        "no proxy",
        "--peer",
        "epoll floor",
        "--peer",
        "splice floor",
    ]);
    assert!(success, "{text}");
    for title in ["CPU per message", "CPU per handshake", "after 16 KiB each"] {
        let row = row(&text, title);
        let [_, _, none, copy, splice, ..] = row[..] else {
            panic!("{text}")
        };
        assert_eq!(none, "-", "no proxy uses nothing");
        assert!(copy.contains('±') && splice.contains('±'), "{text}");
    }
    for title in [
        "TLS, 64 B x32, 1 in flight: messages",
        "TLS, 4 endpoints: handshakes",
    ] {
        let row = row(&text, title);
        let [_, _, none, copy, splice, ..] = row[..] else {
            panic!("{text}")
        };
        assert!(none.contains('±'), "{text}");
        assert_eq!((copy, splice), ("-", "-"), "floors know no TLS");
    }
}

#[test]
fn an_absent_peer_is_told() {
    let (success, text) = bench(&["--peer", "Longhaul"]);
    assert!(success, "{text}");
    assert!(row(&text, "CPU per handshake").contains(&"absent"), "{text}");
    assert!(text.contains("Longhaul: not installed"), "{text}");
}
