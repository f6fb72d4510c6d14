//! Programs that register through the crate `consulrs` are found.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use discovery::State;

use crate::{Watch, server::Server};

/// A program of a package that has a lock file of its own, built once.
fn register() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/build");
        let ran = Command::new(script)
            .arg("consulrs")
            .stderr(Stdio::inherit())
            .output();
        let ran = ran.expect("the script runs");
        assert!(ran.status.success(), "no program");
        String::from_utf8(ran.stdout).unwrap().trim().into()
    })
}

#[tokio::test]
async fn what_consulrs_registers_is_found_and_what_it_deregisters_is_gone() {
    let server = Server::alone().await;
    let mut watch = Watch::on(server.settings(), "chat");
    let agent = format!("http://{}", server.http);
    let run = async |arguments: &[&str]| {
        let ran = tokio::process::Command::new(register())
            .arg(&agent)
            .args(arguments)
            .output();
        let ran = ran.await.unwrap();
        assert!(ran.status.success(), "{ran:?}");
    };
    run(&["chat", "chat-1", "10.0.0.1", "9001"]).await;
    watch.until_state(State::Active, 3).await;
    let endpoints = watch.until_ports(&[9001]).await;
    assert_eq!(endpoints[0].identity.as_str(), "consul:dc1/alone/chat-1");
    server.check("warn", "service:chat-1").await;
    watch.until_state(State::Active, 2).await;
    run(&["chat-1"]).await;
    watch.until_nothing().await;
}
