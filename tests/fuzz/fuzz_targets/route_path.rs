//! Request targets: what is matched is a path that all readers read alike, and the one that the backend sees is another.
#![no_main]

use std::{path::Path, sync::LazyLock};

use http::Request;
use libfuzzer_sys::fuzz_target;
use longhaul::{
    config::parse,
    route::{Table, Target},
};
use longhaul_fuzz::head::request;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let text = r#"
listeners: [{ address: 127.0.0.1:1 }]
services: { a: { discovery: { static: [127.0.0.1:2] } } }
routes:
  - { match: { host: a.example, path: "/chat/{room}" }, service: a, rewrite: "/{room}" }
  - { match: { host: "*.example", path: "/gateway/{*rest}" }, service: a, rewrite: "/{rest}" }
  - { match: { path: "/files/{*rest}" }, service: a, allow_encoded_slash: true }
  - { match: { path: "/{a}/{b}/x" }, service: a, rewrite: "/{b}/{a}" }
  - { match: { path: "/{*rest}" }, service: a, rewrite: "/under/{rest}" }
"#;
    Table::new(&parse(text, Path::new("fuzz")).expect("a config").routes)
});

/// The rule in its plainest form: decode, look at each segment.
fn is_ambiguous(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let two_hex = |text: &str| text.len() >= 2 && text.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    lower.split('%').skip(1).any(|after| !two_hex(after))
        || ["%2e", "%5c", "%00", "\\", "\0"]
            .iter()
            .any(|bad| lower.contains(bad))
        || lower
            .replace("%2f", "/")
            .split('/')
            .any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

fuzz_target!(|bytes: &[u8]| {
    let Some(parts) = request(bytes) else { return };
    let Ok(target) = Target::of(&parts) else { return };
    assert!(!is_ambiguous(target.path()), "{}", target.path());
    let Ok(found) = TABLE.find(&target, &parts.headers) else {
        return;
    };
    let Ok(upstream) = found.upstream(&target) else {
        return;
    };
    assert!(upstream.path().starts_with('/'));
    assert_eq!(upstream.query(), target.query());
    let (again, ()) = Request::get(upstream).body(()).expect("a target").into_parts();
    assert!(
        Target::of(&again).is_ok(),
        "a rewrite makes no path that would be refused"
    );
});
