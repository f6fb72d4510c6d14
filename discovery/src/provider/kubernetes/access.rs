//! How a cluster is reached, and as whom.
//!
//! In: where the settings are. Out: a client. They are read each time one is made, so new credentials are found.
//!
//! - In a cluster: the service account that Kubernetes mounts. Its token, which is replaced about every hour, and its
//!   certificate authority are read again each minute while the client is in use.
//! - A kubeconfig file, with certificates, tokens or a program that gives them. It is read again with the next client,
//!   so when the server cannot be reached or refuses who asks.
//! - Nothing else: no environment variable of kubectl's and no file in a home directory, which a router would find by
//!   accident.
//!
//! Not here: requests ([`api`](super::api)).

use std::{path::PathBuf, time::Duration};

use http::Uri;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::provider::Error;

/// How a cluster is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Access {
    /// As the pod's service account.
    #[default]
    InCluster,
    /// As the current context of this kubeconfig file.
    Kubeconfig(PathBuf),
}

impl Access {
    /// A client that has not connected yet, and the server that it will ask.
    pub(super) async fn connect(&self) -> Result<(Client, Uri), Error> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT);
        // A failure is told, so that it shows, and then followed by a wait of our own.
        config.default_retry = false;
        let server = config.cluster_url.clone();
        let client = Client::try_from(config).map_err(|error| Error::Rejected(error.into()))?;
        Ok((client, server))
    }

    async fn config(&self) -> Result<Config, Error> {
        match self {
            Self::InCluster => Config::incluster().map_err(|error| Error::Rejected(error.into())),
            Self::Kubeconfig(file) => {
                let read = Kubeconfig::read_from(file).map_err(|error| Error::Rejected(error.into()))?;
                let options = KubeConfigOptions::default();
                let config = Config::from_custom_kubeconfig(read, &options).await;
                config.map_err(|error| Error::Rejected(error.into()))
            }
        }
    }
}

/// Three SYNs.
const CONNECT: Duration = Duration::from_secs(5);
