//! A file keeps the contract.

use std::{fs, net::SocketAddr, path::PathBuf};

use discovery::{Provider, provider::file::File};

use crate::suite::{Rig, contract};

struct InFile {
    folder: tempfile::TempDir,
}

impl InFile {
    fn path(&self) -> PathBuf {
        self.folder.path().join("endpoints.json")
    }
}

impl Rig for InFile {
    const EXPLAINS_EMPTY: bool = true;

    async fn start(endpoints: &[SocketAddr]) -> Self {
        let mut rig = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        rig.set(endpoints).await;
        rig
    }

    fn provider(&self) -> Box<dyn Provider> {
        Box::new(File::json(self.path()))
    }

    async fn set(&mut self, endpoints: &[SocketAddr]) {
        let new = self.folder.path().join(".new");
        fs::write(&new, serde_json::to_vec(endpoints).unwrap()).unwrap();
        fs::rename(new, self.path()).unwrap();
    }

    async fn away(&mut self, away: bool) {
        let aside = self.folder.path().join("aside");
        match away {
            true => fs::rename(self.path(), aside).unwrap(),
            false => fs::rename(aside, self.path()).unwrap(),
        }
    }
}

// Its sign of life comes twice a minute, which is too rarely for a test of that.
contract!(InFile: the_first_answer_is_what_the_source_has, changes_are_followed,
    a_source_that_is_empty_at_first_says_so_in_the_right_way, a_source_that_becomes_empty_says_so_in_the_right_way,
    a_source_that_is_away_keeps_its_set_and_its_age_grows, a_provider_that_was_dropped_publishes_nothing_more,
    a_provider_that_is_run_again_goes_on);
