use std::{fs, os::unix::fs::symlink, slice};

use tokio::time::timeout;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Puts a new file in the place of another, as editors and deployment tools do.
    fn replace(&self, name: &str, content: &str) {
        fs::rename(self.file(".new", content), self.at(name)).unwrap();
    }
}

/// The next change, well before a poll would find it.
async fn next(changes: &mut Changes) -> Vec<PathBuf> {
    timeout(POLL / 3, changes.next()).await.expect("an event")
}

#[tokio::test]
async fn a_write_into_the_file_is_a_change() {
    let folder = Folder::new();
    let file = folder.file("router.yaml", "a");
    let mut changes = Changes::watch([file.clone()]);
    fs::write(&file, "b").unwrap();
    assert_eq!(next(&mut changes).await, slice::from_ref(&file));
    fs::write(&file, "c").unwrap();
    assert_eq!(next(&mut changes).await, [file]);
}

#[tokio::test]
async fn a_file_put_in_the_place_of_another_is_a_change_every_time() {
    let folder = Folder::new();
    let file = folder.file("router.yaml", "a");
    let mut changes = Changes::watch([file.clone()]);
    for content in ["b", "c", "d"] {
        folder.replace("router.yaml", content);
        assert_eq!(next(&mut changes).await, slice::from_ref(&file));
    }
}

#[tokio::test]
async fn the_swap_of_a_config_map_is_a_change_every_time() {
    let folder = Folder::new();
    let at = |name: &str| folder.at(name);
    // What a kubelet does: a folder for each version, a link `..data` to the present one, a link to each file in it.
    let publish = |version: &str, content: &str| {
        fs::create_dir(at(version)).unwrap();
        folder.file(&format!("{version}/router.yaml"), content);
        symlink(version, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    publish("..v1", "a");
    symlink("..data/router.yaml", at("router.yaml")).unwrap();
    let mut changes = Changes::watch([at("router.yaml")]);
    publish("..v2", "b");
    assert_eq!(next(&mut changes).await, [at("router.yaml")]);
    fs::remove_dir_all(at("..v1")).unwrap();
    publish("..v3", "c");
    assert_eq!(next(&mut changes).await, [at("router.yaml")]);
}

#[tokio::test]
async fn equal_content_is_no_change() {
    let folder = Folder::new();
    let (same, other) = (folder.file("same.yaml", "a"), folder.file("other.yaml", "a"));
    let mut changes = Changes::watch([same.clone(), other.clone()]);
    folder.replace("same.yaml", "a");
    // Whether or not the first replacement was looked at on its own: the only change is the second.
    folder.replace("other.yaml", "b");
    assert_eq!(next(&mut changes).await, [other]);
    fs::write(&same, "a").unwrap();
    assert_eq!(changes.look().await, Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_missing_file_is_no_change_until_it_is_back_with_other_content() {
    let folder = Folder::new();
    let file = folder.file("router.yaml", "a");
    let mut changes = Changes::watch([file.clone()]);
    fs::remove_file(&file).unwrap();
    assert_eq!(changes.look().await, Vec::<PathBuf>::new());
    fs::write(&file, "a").unwrap();
    assert_eq!(changes.look().await, Vec::<PathBuf>::new());
    fs::write(&file, "b").unwrap();
    assert_eq!(changes.look().await, [file]);
}

#[tokio::test]
async fn a_file_that_was_not_there_at_first_is_a_change_when_it_comes() {
    let folder = Folder::new();
    let mut changes = Changes::watch([folder.at("late.yaml")]);
    let file = folder.file("late.yaml", "a");
    assert_eq!(next(&mut changes).await, [file]);
}

#[tokio::test]
async fn a_dropped_wait_loses_no_change() {
    let folder = Folder::new();
    let file = folder.file("router.yaml", "a");
    let mut changes = Changes::watch([file.clone()]);
    fs::write(&file, "b").unwrap();
    // Let it take the event, and drop it while it waits for the end of the burst.
    changes.touched.notified().await;
    changes.touched.notify_one();
    {
        let mut next = std::pin::pin!(changes.next());
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
    }
    assert!(changes.pending);
    assert_eq!(next(&mut changes).await, [file]);
}

#[tokio::test(start_paused = true)]
async fn a_change_without_an_event_is_found_by_looking() {
    // A folder that is not there cannot be watched.
    let folder = Folder::new();
    let file = folder.at("later/router.yaml");
    let mut changes = Changes::watch([file.clone()]);
    fs::create_dir(folder.at("later")).unwrap();
    fs::write(&file, "a").unwrap();
    let begin = Instant::now();
    assert_eq!(changes.next().await, [file]);
    assert!(begin.elapsed() <= POLL + PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_finds_nothing_new_is_told_to_who_asks_for_every_look() {
    let folder = Folder::new();
    let mut changes = Changes::watch([folder.file("router.yaml", "a")]);
    let begin = Instant::now();
    assert_eq!(changes.next_look().await, Vec::<PathBuf>::new());
    assert!(begin.elapsed() <= POLL + PATIENCE);
}
