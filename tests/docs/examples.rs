//! The examples do what their first lines say.

use discovery::{Endpoint, Service, Snapshot, Supply, follow};
use futures_util::{SinkExt, StreamExt};
use longhaul::{
    balance::{Balance, Settings, feed},
    config::Strategy,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::{Duration, timeout},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{ClientRequestBuilder, Error, Message, http::Uri},
};

#[path = "../../examples/custom_provider.rs"]
#[expect(dead_code, reason = "its main is not run here")]
mod custom_provider;
#[path = "../../examples/echo_backend.rs"]
#[expect(dead_code, reason = "its main is not run here")]
mod echo_backend;
#[path = "../../examples/embed.rs"]
#[expect(dead_code, reason = "its main is not run here")]
mod embed;

/// More than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

async fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

#[tokio::test]
async fn the_embedded_router_lets_in_who_knows_the_password() {
    timeout(LIMIT, async {
        let backend = free_port().await;
        let name = backend.local_addr().expect("a bound socket").to_string();
        let serving = tokio::spawn(echo_backend::serve(backend));
        let app = embed::start("127.0.0.1:0", &name).await.expect("a router");
        let address = app.addresses()[0];
        let uri: Uri = format!("ws://{address}/").parse().expect("an address");
        let stranger = ClientRequestBuilder::new(uri.clone());
        let friend = ClientRequestBuilder::new(uri).with_header("Authorization", "Bearer sesame");

        let stream = TcpStream::connect(address).await.expect("a listener");
        let refused = client_async(stranger, stream).await;
        assert!(
            matches!(&refused, Err(Error::Http(answer)) if answer.status() == 401),
            "{refused:?}"
        );

        let stream = TcpStream::connect(address).await.expect("a listener");
        let (mut session, _) = client_async(friend, stream).await.expect("a session");
        let first = session.next().await.expect("a message").expect("a message");
        assert_eq!(first, Message::text(name));
        session
            .send(Message::text("hello"))
            .await
            .expect("an open session");
        let second = session.next().await.expect("a message").expect("a message");
        assert_eq!(second, Message::text("hello"));

        let told = tokio::spawn(async move { session.next().await });
        app.shutdown().await;
        let close = told.await.expect("no panic").expect("a Close").expect("a Close");
        assert!(
            matches!(&close, Message::Close(Some(frame)) if u16::from(frame.code) == 1001),
            "{close:?}"
        );
        serving.abort();
    })
    .await
    .expect("an end in time");
}

#[tokio::test]
async fn the_custom_provider_publishes_whole_lines_and_keeps_the_last_good_one() {
    timeout(LIMIT, async {
        let by = free_port().await;
        let address = by.local_addr().expect("a bound socket");
        let sources = vec![Supply::new("told", custom_provider::Told { by })];
        let (followed, work) = follow(Service::new("told", sources));
        let mut snapshots = followed.snapshots();
        let balance = Balance::new(
            "told".into(),
            Settings {
                strategy: Strategy::LeastConnection,
                max_sessions_per_endpoint: None,
            },
        );
        let feeding = feed(balance.clone(), snapshots.clone());
        let talking = async {
            let set = |ports: &[u16]| -> Snapshot {
                let at = |port: &u16| Endpoint::at(([127, 0, 0, 1], *port).into());
                ports.iter().map(at).collect()
            };
            let mut operator = TcpStream::connect(address).await.expect("a listener");
            operator
                .write_all(b"127.0.0.1:9001 127.0.0.1:9002\n")
                .await
                .expect("a reader");
            let known = snapshots
                .wait_for(Option::is_some)
                .await
                .expect("a publisher")
                .clone();
            assert_eq!(known, Some(set(&[9001, 9002])));
            let lines = b"127.0.0.1:9001 nonsense\n127.0.0.1:9002\n";
            operator.write_all(lines).await.expect("a reader");
            snapshots.changed().await.expect("a publisher");
            assert_eq!(*snapshots.borrow_and_update(), Some(set(&[9002])));
            while balance.snapshot() != set(&[9002]) {
                tokio::task::yield_now().await;
            }
            let picked = custom_provider::spread(&balance, 3).await.expect("an endpoint");
            assert_eq!(picked, [([127, 0, 0, 1], 9002).into(); 3]);
        };
        tokio::select! {
            () = work => panic!("there are readers"),
            () = feeding => panic!("no more snapshots"),
            () = talking => {}
        }
    })
    .await
    .expect("an end in time");
}
