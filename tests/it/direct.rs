//! The tools of the tests, without a router: a tool that is wrong proves nothing.

use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame as Reference, FrameHeader};

use crate::support::*;

#[test]
fn a_client_and_an_echo_backend_understand_each_other() {
    run(async {
        let backend = Backend::echo().await;
        let (mut client, head) = Conn::upgrade(backend.address, &Request::upgrade("/x?y")).await;
        assert_eq!(
            head.value("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        assert_eq!(
            head.value("x-backend"),
            Some(backend.address.to_string().as_str())
        );
        client.echoes("hello").await;
        client.send(Frame::ping("p")).await;
        let pong = client.frame().await;
        assert_eq!((pong.opcode, pong.string().as_str()), (10, "p"));
        client.send(Frame::close(4000, "bye")).await;
        assert_eq!(close_code(&client.frame().await), Some(4000));
        assert_eq!(client.rest().await, (Vec::new(), End::Finished));
        assert_eq!((backend.accepted(), backend.heads()[0].target()), (1, "/x?y"));
    });
}

#[test]
fn frames_are_written_as_tungstenite_writes_them() {
    let mut pattern = Pattern::new(1);
    for _ in 0..200 {
        let length = pattern.frame_length(70_000);
        let payload = pattern.bytes(length);
        let frame = Frame::binary(payload.clone()).masked(pattern.rng().u32(..).to_be_bytes());
        let header = FrameHeader {
            is_final: true,
            rsv1: false,
            rsv2: false,
            rsv3: false,
            opcode: OpCode::Data(Data::Binary),
            mask: frame.mask,
        };
        let mut bytes = Vec::new();
        Reference::from_payload(header, payload.into())
            .format(&mut bytes)
            .expect("a frame to write");
        assert!(frame.encode() == bytes, "{frame:?}");
        assert_eq!(Frame::decode(&bytes), Some((frame, bytes.len())));
        assert_eq!(Frame::decode(&bytes[..bytes.len() - 1]), None);
    }
}

#[test]
fn every_script_does_what_it_says() {
    run(async {
        let backend = Backend::running(Script::Reset).await;
        let mut client = Conn::connect(backend.address).await;
        client.write(&Request::upgrade("/").bytes()).await;
        assert_eq!(client.rest().await.1, End::Reset);

        backend.set(Script::Leave);
        let (mut client, head) = Conn::upgrade(backend.address, &Request::upgrade("/")).await;
        assert_eq!(
            (head.status(), client.rest().await),
            (101, (Vec::new(), End::Finished))
        );

        backend.set(Script::Answer(
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_vec(),
        ));
        let mut client = Conn::connect(backend.address).await;
        for _ in 0..2 {
            client.write(&Request::upgrade("/").bytes()).await;
            assert_eq!(client.response().await.text(), "no");
        }

        backend.set(Script::Silent);
        let mut client = Conn::connect(backend.address).await;
        client.write(&Request::upgrade("/").bytes()).await;
        assert_eq!(client.arrivals(Duration::from_millis(100)).await, b"");
    });
}

#[test]
fn a_refusing_address_refuses_and_a_black_hole_does_neither() {
    run(async {
        let refusing = Refusing::new();
        let error = tokio::net::TcpStream::connect(refusing.address)
            .await
            .expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        let hole = BlackHole::new();
        let connecting = tokio::time::timeout(
            Duration::from_millis(500),
            tokio::net::TcpStream::connect(hole.address),
        );
        assert!(connecting.await.is_err(), "the connect came through");
    });
}

#[test]
fn chunks_and_lengths_are_read_to_their_end() {
    run(async {
        let backend = Backend::manual().await;
        let mut client = Conn::connect(backend.address).await;
        let mut server = backend.arrival().await;
        server
            .write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            .await;
        server
            .write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxyz")
            .await;
        assert_eq!(client.response().await.text(), "abcde");
        assert_eq!(client.response().await.text(), "xyz");
    });
}
