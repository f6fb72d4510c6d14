//! A discovery source of your own: whoever connects to a socket and writes a line says where the endpoints are.
//!
//! A line is the complete set, addresses with spaces between them. What is printed is what the balance step makes of it.
//!
//! ```sh
//! cargo run --example custom_provider -- 127.0.0.1:9500
//! echo 127.0.0.1:9001 127.0.0.1:9002 127.0.0.1:9003 > /dev/tcp/127.0.0.1/9500
//! echo 127.0.0.1:9001 127.0.0.1:9003 > /dev/tcp/127.0.0.1/9500
//! ```

use std::{
    env, io,
    net::{AddrParseError, SocketAddr},
};

use discovery::{
    Endpoint, Provider, Publisher, Service, Snapshot, Supply, follow,
    provider::{Error, Running},
};
use longhaul::{
    balance::{Balance, Changes, Lease, Pick, Settings, Unavailable},
    config::Strategy,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tower::{Service as _, discover::Change};

/// Endpoints as they are told over a socket.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) by: TcpListener,
}

impl Provider for Told {
    fn run<'a>(&'a mut self, publisher: &'a Publisher) -> Running<'a> {
        Box::pin(async {
            loop {
                let (stream, _) = self.by.accept().await.map_err(transient)?;
                listen(stream, publisher).await.map_err(transient)?;
            }
        })
    }
}

/// Whoever runs the provider starts it again after this. The last snapshot stays meanwhile.
fn transient(error: io::Error) -> Error {
    Error::Transient(error.into())
}

async fn listen(stream: TcpStream, publisher: &Publisher) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        match snapshot(&line) {
            Ok(snapshot) => publisher.publish(snapshot),
            // Half of a set would say that the other half is gone.
            Err(error) => eprintln!("not taken: {line:?}: {error}"),
        }
    }
    Ok(())
}

fn snapshot(line: &str) -> Result<Snapshot, AddrParseError> {
    line.split_whitespace()
        .map(|address| address.parse().map(Endpoint::at))
        .collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).ok_or("usage: custom_provider ADDRESS")?;
    let by = TcpListener::bind(address).await?;
    let sources = vec![Supply::new("told over a socket", Told { by })];
    // Runs it, and runs it again after an error; `Supply` and `Service` have what else can be said.
    let (followed, work) = follow(Service::new("told", sources));
    let changes = Changes::new(followed.snapshots(), Snapshot::default());
    tokio::select! {
        () = work => Ok(()),
        () = balance(changes) => Ok(()),
        told = tokio::signal::ctrl_c() => Ok(told?),
    }
}

/// Feeds a balance step, as the router does for each service, and shows where sessions would go.
async fn balance(mut changes: Changes) {
    let settings = Settings {
        strategy: Strategy::LeastConnection,
        max_sessions_per_endpoint: None,
    };
    let balance = Balance::new("told".into(), settings);
    while let Some(batch) = changes.next().await {
        for change in batch {
            match &change {
                Change::Insert(identity, _) => println!("+ {identity}"),
                Change::Remove(identity) => println!("- {identity}"),
            }
            balance.apply(change);
        }
        balance.mark_known();
        match spread(&balance, 6).await {
            Ok(picked) => println!("six sessions would go to {picked:?}"),
            Err(why) => println!("no session could be opened: {why}"),
        }
    }
}

/// Where so many sessions at once would go.
pub(crate) async fn spread(balance: &Balance, sessions: usize) -> Result<Vec<SocketAddr>, Unavailable> {
    // A lease is a session's place on its endpoint, for as long as it lives.
    let mut leases: Vec<Lease> = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        leases.push(balance.clone().call(Pick::new()).await?);
    }
    Ok(leases.iter().map(|lease| lease.endpoint().address).collect())
}
