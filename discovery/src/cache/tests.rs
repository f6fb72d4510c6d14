use std::{
    fs,
    net::SocketAddr,
    num::NonZeroU32,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use super::*;
use crate::{Endpoint, Identity, State};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn endpoints() -> Snapshot {
    let address = SocketAddr::from(([10, 0, 0, 1], 80));
    let states = [State::Active, State::Draining, State::Unhealthy];
    let named = |(index, state): (usize, State)| Endpoint {
        identity: Identity::from(format!("consul:dc1/\"a\"/chat-{index}").as_str()),
        address,
        weight: NonZeroU32::new(7).unwrap(),
        state,
        zone: (index > 0).then(|| "zone \u{e9}".into()),
        far: index == 0,
    };
    states.into_iter().enumerate().map(named).collect()
}

fn remembered(answered: SystemTime) -> Remembered {
    Remembered {
        source: "consul chat".into(),
        endpoints: endpoints(),
        answered,
    }
}

/// Whole seconds, as the file has them.
fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

async fn keep(cache: &Cache, sources: Vec<Remembered>) {
    cache.note(&chat(), sources);
    cache.store(&chat()).await;
}

fn chat() -> Arc<str> {
    "chat".into()
}

/// The cache of another process in the same folder.
fn on_disk(folder: &tempfile::TempDir) -> Cache {
    let cache = Cache::default();
    cache.set_folder(Some((folder.path().join("cache"), DAY)));
    cache
}

async fn written() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    keep(&on_disk(&folder), vec![remembered(now())]).await;
    let file = folder.path().join("cache/chat.json");
    (folder, file)
}

#[tokio::test]
async fn what_was_kept_is_recalled_from_memory() {
    let cache = Cache::default();
    assert_eq!(cache.recall(&chat()).await, []);
    keep(&cache, vec![remembered(now())]).await;
    assert_eq!(cache.recall(&chat()).await[0].endpoints, endpoints());
    assert_eq!(cache.recall(&"other".into()).await, []);
}

/// As it was written before endpoints could be far.
#[tokio::test]
async fn a_file_without_newer_keys_is_recalled() {
    let (folder, file) = written().await;
    let text = fs::read_to_string(&file).unwrap();
    let old = text.replace(",\"far\":true", "");
    assert_ne!(old, text);
    fs::write(&file, old).unwrap();
    let recalled = on_disk(&folder).recall(&chat()).await;
    let near = |endpoint: &Endpoint| Endpoint {
        far: false,
        ..endpoint.clone()
    };
    assert_eq!(recalled[0].endpoints, endpoints().iter().map(near).collect());
}

#[tokio::test]
async fn what_was_kept_is_recalled_by_another_process() {
    let (folder, file) = written().await;
    assert_eq!(on_disk(&folder).recall(&chat()).await, [remembered(now())]);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let names: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");
}

#[tokio::test]
async fn a_later_set_replaces_the_one_before() {
    let (folder, _) = written().await;
    let empty = Remembered {
        endpoints: Snapshot::default(),
        ..remembered(now())
    };
    keep(&on_disk(&folder), vec![empty.clone()]).await;
    assert_eq!(on_disk(&folder).recall(&chat()).await, [empty]);
}

#[tokio::test]
async fn a_set_that_was_last_confirmed_too_long_ago_is_not_recalled() {
    let (folder, _) = written().await;
    let old = Remembered {
        source: "kubernetes chat".into(),
        ..remembered(now() - DAY - Duration::from_secs(5))
    };
    keep(&on_disk(&folder), vec![old, remembered(now())]).await;
    let recalled = on_disk(&folder).recall(&chat()).await;
    assert_eq!(recalled, [remembered(now())]);
}

#[tokio::test]
async fn a_set_from_the_future_is_young() {
    let (folder, _) = written().await;
    let future = remembered(now() + 3 * DAY);
    keep(&on_disk(&folder), vec![future.clone()]).await;
    assert_eq!(on_disk(&folder).recall(&chat()).await, [future]);
}

#[tokio::test]
async fn a_broken_or_foreign_file_is_ignored() {
    let (folder, file) = written().await;
    let whole = fs::read_to_string(&file).unwrap();
    let broken = [
        String::new(),
        whole[..whole.len() / 2].to_owned(),
        "[1, 2]".to_owned(),
        "\u{0}\u{1}".to_owned(),
        whole.replace("\"longhaul_endpoints\":1", "\"longhaul_endpoints\":2"),
        whole.replace("\"service\":\"chat\"", "\"service\":\"other\""),
        whole.replace("10.0.0.1:80", "nowhere"),
        whole.replace("\"weight\":7", "\"weight\":0"),
    ];
    for content in broken {
        fs::write(&file, &content).unwrap();
        assert_eq!(on_disk(&folder).recall(&chat()).await, [], "{content}");
    }
    fs::write(&file, whole).unwrap();
    assert_eq!(on_disk(&folder).recall(&chat()).await.len(), 1);
}

#[tokio::test]
async fn a_file_that_others_can_write_or_a_link_is_ignored() {
    let (folder, file) = written().await;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(on_disk(&folder).recall(&chat()).await, []);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert_eq!(on_disk(&folder).recall(&chat()).await, []);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_nothing_but_the_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cache"), "not a folder").unwrap();
    let cache = on_disk(&folder);
    keep(&cache, vec![remembered(now())]).await;
    assert_eq!(cache.recall(&chat()).await.len(), 1, "memory still has it");
    assert_eq!(on_disk(&folder).recall(&chat()).await, []);
}
