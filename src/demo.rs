//! A working router from one command: three echo backends, the router and the admin address in one process.
//!
//! In: nothing. Out: 127.0.0.1:8080 for WebSocket sessions, 127.0.0.1:9901 for a browser, until Ctrl-C.
//!
//! Not here: anything that is not also in `longhaul run`; the backends alone are the demo's own.

mod backend;
pub mod page;

use std::{error::Error, net::SocketAddr, path::Path, process::ExitCode};

use crate::{
    app::Options,
    config,
    process::{Process, with_runtime},
};

const ROUTER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9901);

/// Runs the demo until Ctrl-C.
pub fn run() -> ExitCode {
    with_runtime(start())
}

async fn start() -> Result<ExitCode, Box<dyn Error>> {
    let mut backends = Vec::new();
    for name in ["red", "green", "blue"] {
        backends.push((name, backend::spawn(name).await?));
    }
    let text = config_text(&backends);
    let config = config::parse(&text, Path::new("demo.yaml"))?;
    let pages = page::router(ROUTER);
    let process = Process::start(
        config,
        Options {
            pages: Some(pages),
            ..Options::default()
        },
    )
    .await?;
    println!("{}", invitation(&backends));
    Ok(process.until_told().await)
}

/// The demo's configuration, as a user would write it.
fn config_text(backends: &[(&str, SocketAddr)]) -> String {
    let endpoints: Vec<_> = backends.iter().map(|(_, address)| address.to_string()).collect();
    format!(
        "listeners:\n  - address: {ROUTER}\nadmin: {{ address: {ADMIN} }}\nservices:\n  echo:\n    discovery:\n      static: [{}]\n    balance: least-connection\nroutes:\n  - match: {{}}\n    service: echo\nshutdown: {{ window: 1s, deadline: 5s }}\n",
        endpoints.join(", ")
    )
}

fn invitation(backends: &[(&str, SocketAddr)]) -> String {
    let mut text = format!("Longhaul is listening on {ROUTER}, in front of three echo backends:\n");
    for (name, address) in backends {
        text.push_str(&format!("    {name:<6} {address}\n"));
    }
    text.push_str(&format!(
        "\nOpen a page that connects and shows how sessions spread:\n    http://{ADMIN}/demo\n\
         \nOr talk to it from a terminal:\n    websocat ws://{ROUTER}/\n    npx wscat -c ws://{ROUTER}/\n\
         \nSee what it sees:\n    http://{ADMIN}/               the console\n    curl http://{ADMIN}/api/sessions\n    curl http://{ADMIN}/metrics\n\
         \nCtrl-C ends it properly: every open session gets a Close."
    ));
    text
}
