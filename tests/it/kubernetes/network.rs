//! A network of a test's own: the test runs again in a process that has one.
//!
//! In that process nothing listens yet, every address of 10.77.0.0/16 and fd77::/64 is local and there is no way out. It
//! has process ids and temporary files of its own too, so whatever a test starts and writes is gone with it.

use std::{
    any::type_name,
    env,
    future::Future,
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use crate::{figures::ROW, support::run_within};

/// Runs the future of a test in a network of its own. The caller must be the test itself: it is found again by name.
pub(super) fn alone<F: Future<Output = ()>>(limit: Duration, test: F) {
    if env::var_os(SERVERS).is_some() {
        return run_within(limit, test);
    }
    // `it::kubernetes::provider::name_of_the_test::{{closure}}`
    let name = type_name::<F>();
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    let name = name.trim_end_matches("::{{closure}}");
    let servers = servers();
    // A cluster takes half a gigabyte and two seconds of four cores to start.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let output = unshare
        .args(["sh", "-ec", SET_UP])
        .arg(env::current_exe().expect("the path of this program"))
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(SERVERS, servers)
        .env("TEMPORARY", env!("CARGO_TARGET_TMPDIR"))
        .env("ACCOUNT", ACCOUNT)
        // Where a process in a cluster finds its API server.
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", "6443")
        .output()
        .expect("`unshare` of util-linux");
    drop(turn);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{name} failed in a network of its own, which needs root or user namespaces, and iproute2:\n{out}\n{err}"
    );
    assert!(
        out.contains("test result: ok. 1 passed"),
        "{name} was not found:\n{out}"
    );
    print!("{}", measured(&out));
}

/// The folder of the servers' programs.
pub(super) fn programs() -> String {
    env::var(SERVERS).expect("a test in a network of its own")
}

/// Says something that was measured, so that it is shown by whoever runs the test with `--nocapture`.
pub(super) fn figure(text: &str) {
    println!("{FIGURE}{text}");
}

fn measured(out: &str) -> String {
    let lines = out.lines().filter_map(|line| line.split_once(FIGURE));
    let said = lines.map(|(_, text)| format!("{text}\n"));
    let rows = out.lines().filter_map(|line| line.split_once(ROW));
    said.chain(rows.map(|(_, row)| format!("{ROW}{row}\n"))).collect()
}

fn servers() -> &'static str {
    static SCRIPT: OnceLock<String> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/build-kubernetes");
        let output = Command::new(script).output().expect("a script to run");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {err}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}

/// Where a process in a cluster finds what its service account is; empty here until a test writes it.
pub(super) const ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";
/// Where the servers are; it is there only inside.
const SERVERS: &str = "LONGHAUL_KUBERNETES_SERVERS";
const FIGURE: &str = "measured: ";
const SET_UP: &str = r#"
    mount -t tmpfs tmpfs "$TEMPORARY"
    mount -t tmpfs tmpfs /run
    mkdir -p "$ACCOUNT"
    ip link set lo up
    ip addr add 10.77.0.0/16 dev lo
    ip -6 addr add fd77::/64 dev lo 2>/dev/null || echo "no IPv6 here"
    exec "$0" "$@"
"#;
