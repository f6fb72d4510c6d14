//! A list in JSON: `"ip:port"`, or `{"address": "ip:port", "weight": 2}`.

use std::{net::SocketAddr, num::NonZeroU32, path::Path};

use serde::Deserialize;

use super::Fault;
use crate::Endpoint;

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"ip:port\" or {\"address\": \"ip:port\", \"weight\": 1}"
)]
enum Item {
    Address(SocketAddr),
    Weighted(Weighted),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    address: SocketAddr,
    #[serde(default = "one")]
    weight: NonZeroU32,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

pub(super) fn read(content: &[u8], path: &Path) -> Result<Vec<Endpoint>, Fault> {
    let items: Vec<Item> = serde_json::from_slice(content).map_err(|error| {
        let (file, line, column) = (path.display(), error.line(), error.column());
        format!("{file}:{line}:{column}: {error}")
    })?;
    Ok(items.into_iter().map(Endpoint::from).collect())
}

impl From<Item> for Endpoint {
    fn from(item: Item) -> Self {
        match item {
            Item::Address(address) => Self::at(address),
            Item::Weighted(Weighted { address, weight }) => Self {
                weight,
                ..Self::at(address)
            },
        }
    }
}
