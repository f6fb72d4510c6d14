//! The secrets of affinity: read at start, at each reload, and when their files change.
//!
//! In: the files that a configuration names. Out: the router's keyring.
//!
//! - A file that cannot be read, or holds no secret, stops a start or a reload; found later it changes nothing.
//! - Without files one secret is drawn when it is first needed, and kept through all reloads.

use std::{path::PathBuf, sync::Arc};

use discovery::files::Changes;

use super::task::Task;
use crate::{
    affinity::{Keyring, SecretError},
    config::{Affinity, Config},
    router::Router,
};

/// The keyring in use, and what may bring another.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// What was drawn for want of files.
    drawn: Option<Arc<Keyring>>,
    /// The files that are watched.
    watched: Option<(Vec<PathBuf>, Task)>,
}

/// What a configuration asks for, read and not in use yet.
#[derive(Debug)]
pub(super) struct Prepared {
    keyring: Arc<Keyring>,
    files: Vec<PathBuf>,
    /// Of files that are not watched yet, from before they were read.
    changes: Option<Changes>,
}

impl Secrets {
    /// Reads what `config` names.
    pub(super) fn prepare(&mut self, config: &Config) -> Result<Prepared, SecretError> {
        let files = config.affinity_secret_files.clone();
        let is_watched = self
            .watched
            .as_ref()
            .is_some_and(|(watched, _)| *watched == files);
        let changes = (!files.is_empty() && !is_watched).then(|| Changes::watch(files.clone()));
        let keyring = match (files.is_empty(), needs_secret(config)) {
            (false, _) => Arc::new(Keyring::load(&files)?),
            (true, true) => self.draw()?,
            (true, false) => Arc::default(),
        };
        Ok(Prepared {
            keyring,
            files,
            changes,
        })
    }

    /// Puts it into use.
    pub(super) fn follow(&mut self, prepared: Prepared, router: &Arc<Router>) {
        let Prepared {
            keyring,
            files,
            changes,
        } = prepared;
        router.rekey(keyring);
        if let Some(changes) = changes {
            let task = Task::spawn(watch(Arc::clone(router), changes, files.clone()));
            self.watched = Some((files, task));
        } else if files.is_empty() {
            self.watched = None;
        }
    }

    fn draw(&mut self) -> Result<Arc<Keyring>, SecretError> {
        tracing::warn!(
            "no `affinity_secret_files`: tags and cookies of affinity are made with a secret that no other replica has, \
             and that ends with this process",
        );
        if let Some(drawn) = &self.drawn {
            return Ok(Arc::clone(drawn));
        }
        let drawn = Arc::new(Keyring::random()?);
        self.drawn = Some(Arc::clone(&drawn));
        Ok(drawn)
    }
}

fn needs_secret(config: &Config) -> bool {
    let mut methods = config.services.values().flat_map(|service| &service.affinity);
    methods.any(Affinity::is_tagged)
}

async fn watch(router: Arc<Router>, mut changes: Changes, files: Vec<PathBuf>) {
    loop {
        changes.next().await;
        match Keyring::load(&files) {
            Ok(keyring) => {
                router.rekey(Arc::new(keyring));
                tracing::info!(secrets = files.len(), "affinity secrets read again");
            }
            Err(error) => tracing::warn!(
                %error,
                source = std::error::Error::source(&error).map(tracing::field::display),
                "affinity secrets not read; those of before stay",
            ),
        }
    }
}
