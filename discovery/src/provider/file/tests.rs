use std::{fs, net::SocketAddr, os::unix::fs::symlink, time::Duration};

use tokio::time::timeout;

use super::*;
use crate::{Condition, Reader, Snapshot, supervise};

const LIMIT: Duration = Duration::from_secs(10);

fn at(port: u16) -> Endpoint {
    Endpoint::at(SocketAddr::from(([10, 0, 0, 1], port)))
}

fn ports(ports: &[u16]) -> Snapshot {
    ports.iter().map(|port| at(*port)).collect()
}

fn list(ports: &[u16]) -> String {
    let items: Vec<_> = ports.iter().map(|port| format!("\"10.0.0.1:{port}\"")).collect();
    format!("[{}]", items.join(",\n"))
}

struct Rig {
    folder: tempfile::TempDir,
    reader: Reader,
    _work: tokio::task::JoinSet<()>,
}

impl Rig {
    fn start(content: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endpoints.json");
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        Self::at(folder, &path)
    }

    fn at(folder: tempfile::TempDir, path: &Path) -> Self {
        let (publisher, reader) = Publisher::channel();
        let provider = Box::new(File::json(path));
        let mut work = tokio::task::JoinSet::new();
        work.spawn(async move { supervise(provider, &publisher).await });
        Self {
            folder,
            reader,
            _work: work,
        }
    }

    fn replace(&self, content: &str) {
        let new = self.folder.path().join(".new");
        fs::write(&new, content).unwrap();
        fs::rename(new, self.folder.path().join("endpoints.json")).unwrap();
    }

    async fn reaches(&mut self, wanted: &Snapshot) {
        let reached = self
            .reader
            .wait_for(|answer| answer.clone().into_endpoints() == *wanted);
        timeout(LIMIT, reached).await.expect("the list in time");
    }

    async fn fails_with(&mut self, words: &str) {
        let failing = async {
            while !self
                .reader
                .status()
                .error
                .is_some_and(|error| error.contains(words))
            {
                assert!(self.reader.changed().await);
            }
        };
        let failed = timeout(LIMIT, failing).await.is_ok();
        assert!(failed, "{words}: {:?}", self.reader.status());
    }
}

#[tokio::test]
async fn the_list_is_followed_through_replacements() {
    let mut rig = Rig::start(Some(&list(&[1])));
    rig.reaches(&ports(&[1])).await;
    for next in [&[1, 2][..], &[3], &[]] {
        rig.replace(&list(next));
        rig.reaches(&ports(next)).await;
    }
}

#[tokio::test]
async fn weights_are_read() {
    let mut rig = Rig::start(Some(r#"[{"address": "10.0.0.1:1", "weight": 3}, "10.0.0.1:2"]"#));
    let heavy = Endpoint {
        weight: 3.try_into().unwrap(),
        ..at(1)
    };
    rig.reaches(&Snapshot::from_iter([heavy, at(2)])).await;
}

#[tokio::test]
async fn a_wrong_file_keeps_the_last_list_and_says_where_it_is_wrong() {
    let mut rig = Rig::start(Some(&list(&[1])));
    rig.reaches(&ports(&[1])).await;
    for (content, place) in [
        ("[\n\"10.0.0.1:1\",\n", ":3:0: "),
        ("[\n\"10.0.0.1\"]", "endpoints.json:2:"),
        ("", "endpoints.json:1:0"),
        (
            "[{\"address\": \"10.0.0.1:1\", \"weight\": 0}]",
            "endpoints.json:1:",
        ),
        (
            "[{\"address\": \"10.0.0.1:1\", \"wait\": 1}]",
            "endpoints.json:1:",
        ),
    ] {
        rig.replace(content);
        rig.fails_with(place).await;
        assert_eq!(rig.reader.endpoints(), Some(ports(&[1])), "{content}");
        rig.replace(&list(&[1]));
        while rig.reader.status().condition != Condition::Answering {
            timeout(LIMIT, rig.reader.changed()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_file_that_is_missing_at_first_is_found_when_it_comes() {
    let mut rig = Rig::start(None);
    rig.fails_with("No such file").await;
    assert_eq!(rig.reader.answer(), None);
    rig.replace(&list(&[1]));
    rig.reaches(&ports(&[1])).await;
}

#[tokio::test]
async fn a_file_that_goes_away_keeps_the_last_list() {
    let mut rig = Rig::start(Some(&list(&[1])));
    rig.reaches(&ports(&[1])).await;
    fs::remove_file(rig.folder.path().join("endpoints.json")).unwrap();
    rig.fails_with("No such file").await;
    assert_eq!(rig.reader.endpoints(), Some(ports(&[1])));
}

#[tokio::test]
async fn the_swap_of_a_config_map_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let publish = |version: &str, content: &str| {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("endpoints.json"), content).unwrap();
        symlink(version, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    publish("..v1", &list(&[1]));
    symlink("..data/endpoints.json", root.join("endpoints.json")).unwrap();
    let mut rig = Rig::at(folder, &root.join("endpoints.json"));
    rig.reaches(&ports(&[1])).await;
    publish("..v2", &list(&[1, 2]));
    fs::remove_dir_all(root.join("..v1")).unwrap();
    rig.reaches(&ports(&[1, 2])).await;
    publish("..v3", &list(&[3]));
    rig.reaches(&ports(&[3])).await;
}
