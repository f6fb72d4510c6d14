//! What no real server can be made to do: games with the index, broken and endless answers, silence.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use discovery::{
    Answer, Condition,
    provider::consul::{Agent, Settings, Wanted},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

use crate::{Watch, server::eventually};

/// An agent that answers as a test tells it to.
struct Fake {
    address: SocketAddr,
    asked: Asked,
    _serving: JoinSet<()>,
}

type Asked = Arc<Mutex<Vec<(Instant, String)>>>;

/// What it does with a request.
enum Reply {
    /// This head, beyond the status, and this body.
    Say(String, Vec<u8>),
    /// These bytes as they are, and the end of the connection.
    Raw(Vec<u8>),
    /// This much of a body that never ends.
    Endless(usize),
    /// Nothing, for ever.
    Silence,
}

impl Fake {
    /// `script` is given the number of the request and its target.
    async fn start(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Asked::default();
        let (script, noted) = (Arc::new(script), Arc::clone(&asked));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, noted) = (Arc::clone(&script), Arc::clone(&noted));
                connections.spawn(async move { serve(stream, &*script, &noted).await });
            }
        });
        Self {
            address,
            asked,
            _serving: serving,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            wait: Duration::from_millis(200),
            ..Settings::of_agent(self.address.to_string().parse().unwrap())
        }
    }

    fn asked(&self) -> Vec<(Instant, String)> {
        self.asked.lock().unwrap().clone()
    }

    async fn until_asked(&self, times: usize) {
        eventually("request", async || (self.asked().len() >= times).then_some(())).await;
    }
}

async fn serve(
    stream: TcpStream,
    script: &(dyn Fn(usize, &str) -> Reply + Send + Sync),
    asked: &Asked,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut target = None;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            match line.trim_end() {
                "" => break,
                line if target.is_none() => target = line.split(' ').nth(1).map(str::to_owned),
                _ => {}
            }
        }
        let target = target?;
        let number = {
            let mut asked = asked.lock().unwrap();
            asked.push((Instant::now(), target.clone()));
            asked.len() - 1
        };
        match script(number, &target) {
            Reply::Say(head, body) => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{head}\r\n", body.len());
                stream.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
            }
            Reply::Raw(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                return None;
            }
            Reply::Endless(bytes) => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .await
                    .ok()?;
                let part = vec![b' '; 1 << 20];
                for _ in 0..bytes >> 20 {
                    stream
                        .write_all(format!("{:x}\r\n", part.len()).as_bytes())
                        .await
                        .ok()?;
                    stream.write_all(&part).await.ok()?;
                    stream.write_all(b"\r\n").await.ok()?;
                }
                std::future::pending().await
            }
            Reply::Silence => std::future::pending().await,
        }
    }
}

/// An answer with instances on these ports.
fn instances(index: u64, ports: &[u16]) -> Reply {
    let instance = |port: &u16| {
        json!({ "Node": { "Node": "n", "Datacenter": "dc1", "Address": "192.0.2.1" },
                "Service": { "ID": port.to_string(), "Port": port }, "Checks": [] })
    };
    let body: serde_json::Value = ports.iter().map(instance).collect();
    Reply::Say(
        format!("X-Consul-Index: {index}\r\n"),
        body.to_string().into_bytes(),
    )
}

fn garbage(body: &[u8]) -> Reply {
    Reply::Say("X-Consul-Index: 9\r\n".to_owned(), body.to_vec())
}

/// Whether requests came at the promised pace: four at once, then four a second.
fn paced(asked: &[(Instant, String)]) -> bool {
    let within = |first: &Instant| {
        let second = *first + Duration::from_secs(1);
        asked.iter().filter(|(at, _)| at >= first && *at < second).count()
    };
    asked.iter().all(|(at, _)| within(at) <= 8)
}

#[tokio::test]
async fn an_agent_that_never_waits_is_asked_four_times_a_second() {
    let fake = Fake::start(|number, _| instances(number as u64, &[9001])).await;
    let mut watch = Watch::on(fake.settings(), "chat");
    watch.until_ports(&[9001]).await;
    fake.until_asked(13).await;
    let asked = fake.asked();
    assert!(paced(&asked));
    assert!(asked[12].0 - asked[0].0 >= Duration::from_secs(2));
}

#[tokio::test]
async fn an_agent_without_an_index_or_with_0_is_asked_with_1_and_at_that_pace() {
    let zero = Fake::start(|_, _| instances(0, &[9001])).await;
    let none = Fake::start(|_, _| Reply::Say(String::new(), b"[]".to_vec())).await;
    let _watches = [
        Watch::on(zero.settings(), "chat"),
        Watch::on(none.settings(), "chat"),
    ];
    for fake in [zero, none] {
        fake.until_asked(7).await;
        let asked = fake.asked();
        assert!(paced(&asked));
        assert!(!asked[0].1.contains("index="), "{}", asked[0].1);
        assert!(
            asked[1..].iter().all(|(_, target)| target.contains("index=1&")),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn an_index_that_goes_back_is_asked_for_anew_and_of_the_leader() {
    let fake = Fake::start(|number, _| match number {
        0 => instances(100, &[9001, 9002]),
        1 => instances(50, &[]),
        2 => instances(50, &[9003]),
        _ => Reply::Silence,
    });
    let fake = fake.await;
    let mut watch = Watch::on(fake.settings(), "chat");
    watch.until_ports(&[9003]).await;
    fake.until_asked(4).await;
    let targets: Vec<String> = fake.asked().into_iter().map(|(_, target)| target).collect();
    let path = "/v1/health/service/chat";
    assert_eq!(targets[0], format!("{path}?stale"));
    assert_eq!(targets[1], format!("{path}?stale&index=100&wait=200ms"));
    assert_eq!(targets[2], path);
    assert_eq!(targets[3], format!("{path}?stale&index=50&wait=200ms"));
}

#[tokio::test]
async fn that_all_is_gone_is_only_believed_of_the_leader() {
    let fake = Fake::start(|number, target| match number {
        0 => instances(1, &[9001]),
        // A server that has just started knows of nothing yet; its leader does.
        1 => instances(2, &[]),
        2 if !target.contains("stale") => instances(3, &[9001, 9002]),
        3 => instances(4, &[]),
        4 if !target.contains("stale") => instances(4, &[]),
        _ => Reply::Silence,
    });
    let fake = fake.await;
    let mut watch = Watch::on(fake.settings(), "chat");
    let mut seen = Vec::new();
    watch
        .until("the end", |answer| {
            seen.push(answer.clone());
            *answer == Answer::Nothing
        })
        .await;
    let before: Vec<_> = seen[..seen.len() - 1].iter().map(crate::ports).collect();
    assert!(before.iter().all(|ports| !ports.is_empty()), "{before:?}");
    assert_eq!(fake.asked().len(), 5);
}

#[tokio::test]
async fn broken_answers_keep_the_last_set_and_say_what_is_wrong() {
    let instance = r#"[{"Node":{"Node":"n"},"Service":{"ID":"a","Port":9"#;
    let broken: [(&'static [u8], &str); 5] = [
        (b"<html>hello</html>", "JSON"),
        (b"null", "JSON"),
        (b"[{\"Node\":{\"Node\":\"\xff\"}}]", "JSON"),
        (instance.as_bytes(), "JSON"),
        (b"{\"errors\":[\"no\"]}", "JSON"),
    ];
    for (body, says) in broken {
        let fake = Fake::start(move |number, _| match number {
            0 => instances(8, &[9001]),
            1..3 => garbage(body),
            _ => instances(10, &[9002]),
        });
        let fake = fake.await;
        let mut watch = Watch::on(fake.settings(), "chat");
        watch.until_ports(&[9001]).await;
        let error = watch.until_condition(Condition::Failing).await;
        assert!(error.contains(says), "{error}");
        assert_eq!(watch.reader.answer().as_ref().map(crate::ports), Some(vec![9001]));
        watch.until_ports(&[9002]).await;
        assert_eq!(watch.reader.status().condition, Condition::Answering);
    }
}

#[tokio::test]
async fn half_answers_are_failures() {
    let raw: [&'static [u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nX-Consul",
        b"garbage\r\n\r\n",
        b"",
    ];
    for bytes in raw {
        let fake = Fake::start(move |number, _| match number {
            0 => instances(8, &[9001]),
            _ => Reply::Raw(bytes.to_vec()),
        });
        let fake = fake.await;
        let mut watch = Watch::on(fake.settings(), "chat");
        watch.until_ports(&[9001]).await;
        watch.until_condition(Condition::Failing).await;
        assert_eq!(watch.reader.answer().as_ref().map(crate::ports), Some(vec![9001]));
    }
}

#[tokio::test]
async fn an_endless_answer_is_refused_at_its_bound() {
    let fake = Fake::start(|_, _| Reply::Endless(70 << 20)).await;
    let mut watch = Watch::on(fake.settings(), "chat");
    let error = watch.until_condition(Condition::Failing).await;
    assert!(error.contains("more than 67108864 bytes"), "{error}");
}

#[tokio::test]
async fn ten_thousand_instances_of_one_identity_are_one_endpoint() {
    let fake = Fake::start(|number, _| match number {
        0 => instances(8, &[9001; 10_000]),
        _ => Reply::Silence,
    });
    let fake = fake.await;
    Watch::on(fake.settings(), "chat").until_ports(&[9001]).await;
}

#[tokio::test]
async fn what_cannot_be_dialled_is_left_out_and_if_it_is_all_the_answer_is_nothing() {
    let fake = Fake::start(|number, _| match number {
        0 => instances(8, &[9001, 0]),
        1.. => instances(9, &[0]),
    });
    let fake = fake.await;
    let mut watch = Watch::on(fake.settings(), "chat");
    watch.until_ports(&[9001]).await;
    watch.until_nothing().await;
}

#[tokio::test]
async fn an_agent_that_accepts_and_never_answers_is_left_within_the_wait_and_a_little() {
    let fake = Fake::start(|number, _| match number {
        0 => instances(8, &[9001]),
        _ => Reply::Silence,
    });
    let fake = fake.await;
    let settings = Settings {
        wait: Duration::from_millis(160),
        ..fake.settings()
    };
    let mut watch = Watch::on(settings, "chat");
    watch.until_ports(&[9001]).await;
    let error = watch.until_condition(Condition::Failing).await;
    assert!(error.contains("did not answer within 8.17s"), "{error}");
    let asked = fake.asked();
    assert!(asked.len() == 2 && asked[1].0.elapsed() >= Duration::from_secs(8));
}

#[tokio::test]
async fn a_second_agent_is_asked_when_the_first_breaks_and_neither_is_failure() {
    let first = Fake::start(|number, _| match number {
        0 => instances(1000, &[9001]),
        _ => Reply::Raw(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno".to_vec()),
    });
    let second = Fake::start(|number, _| match number {
        0 => instances(5, &[9001, 9002]),
        _ => Reply::Silence,
    });
    let (first, second) = (first.await, second.await);
    let mut settings = first.settings();
    settings
        .addresses
        .push(second.address.to_string().parse().unwrap());
    let mut watch = Watch::of(Agent::new(settings), Wanted::service("chat"));
    watch.until_ports(&[9001, 9002]).await;
    assert_eq!(watch.reader.status().condition, Condition::Answering);
    assert!(
        !second.asked()[0].1.contains("index="),
        "an index is only good where it came from"
    );
    assert_eq!(first.asked().len(), 2);
}

#[tokio::test]
async fn too_many_requests_are_waited_out_and_the_last_set_stays() {
    let limit = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 19\r\n\r\nrate limit exceeded";
    let fake = Fake::start(|number, _| match number {
        0 => instances(1, &[9001]),
        1 => Reply::Raw(limit.to_vec()),
        2 => instances(3, &[9002]),
        _ => Reply::Silence,
    });
    let fake = fake.await;
    let mut watch = Watch::on(fake.settings(), "chat");
    watch.until_ports(&[9001]).await;
    watch.until_condition(Condition::Refused).await;
    watch.until_ports(&[9002]).await;
    let asked = fake.asked();
    assert!(
        asked[2].0 - asked[1].0 >= Duration::from_millis(500),
        "a second, less its jitter"
    );
}
