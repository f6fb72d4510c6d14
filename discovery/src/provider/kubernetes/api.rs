//! The two requests that are made of an API server, with bounds on both.
//!
//! In: a client and a namespace. Out: the complete list of its slices with the version that it was taken at, and the
//! events after a version until the server ends the request.
//!
//! - Every wait ends: a head comes within [`HEAD`], a page within [`PAGE`], and a watch, which the server was asked to end
//!   after its time, within [`GRACE`] of that. A server that is frozen behind an open connection is noticed by this.
//! - Nothing that is held grows without end by what the server sends: a page and an event have a largest size, and a
//!   list a largest number of pages.
//!
//! Not here: what follows an error ([`follow`](super::follow)).

mod error;
mod stream;

use std::{fmt, time::Duration};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::{Body, Client};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

#[cfg(fuzzing)]
pub(super) use self::stream::Lines;
pub(super) use self::{
    error::Error,
    stream::{Event, Watch},
};
use self::{error::Refusal, stream::GRACE};
use super::slice::{Slice, Wire};

/// The EndpointSlices of one namespace, as an API server shows them.
pub(super) struct Api {
    client: Client,
    path: String,
}

/// A complete list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) slices: Vec<Slice>,
    /// What a watch starts from to miss nothing.
    pub(super) version: String,
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    items: Option<Vec<Wire>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    more: Option<String>,
}

// === impl Api ===

impl Api {
    /// The slices of `namespace`; where none is given, of the client's own.
    pub(super) fn new(client: Client, namespace: Option<&str>) -> Self {
        let namespace = namespace.unwrap_or(client.default_namespace());
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        Self { client, path }
    }

    /// All slices, page by page, as they were at one moment.
    pub(super) async fn list(&self) -> Result<Listed, Error> {
        let mut slices = Vec::new();
        let mut more = None;
        for _ in 0..PAGES {
            let page = timeout(PAGE, self.page(more.as_deref()));
            let page = page.await.map_err(|_| Error::Silent(PAGE))??;
            slices.extend(page.items.into_iter().flatten().map(Slice::from));
            more = page.metadata.more.filter(|more| !more.is_empty());
            if more.is_none() {
                let version = page.metadata.resource_version;
                return Ok(Listed { slices, version });
            }
        }
        Err(Error::Endless(PAGES))
    }

    async fn page(&self, more: Option<&str>) -> Result<Page, Error> {
        let limit = PAGE_SLICES.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(more.map(|more| ("continue", more)));
        let body = self.ask(&query).await?.into_body();
        let page = collect(body, PAGE_BYTES).await?;
        serde_json::from_slice(&page).map_err(Error::Garbage)
    }

    /// What happens after `version`, for about as long as `span`.
    pub(super) async fn watch(&self, version: &str, span: Duration) -> Result<Watch, Error> {
        let deadline = Instant::now() + span + GRACE;
        let seconds = span.as_secs().max(1).to_string();
        let query = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", seconds.as_str()),
        ];
        let body = self.ask(&query).await?.into_body();
        Ok(Watch::new(body, deadline))
    }

    /// The answer to a request, if it is a 200.
    async fn ask(&self, query: &[(&str, &str)]) -> Result<Response<Body>, Error> {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("labelSelector", SERVICE_LABEL)
            .extend_pairs(query)
            .finish();
        let request = Request::get(format!("{}?{query}", self.path))
            .body(Body::empty())
            .expect("a namespace has passed its check, and the query is encoded");
        let answer = timeout(HEAD, self.client.send(request)).await;
        let answer = answer.map_err(|_| Error::Silent(HEAD))?;
        let answer = answer.map_err(|error| Error::Client(Box::new(error)))?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let body = timeout(HEAD, collect(answer.into_body(), REFUSAL_BYTES)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        let refusal = serde_json::from_slice(&body).ok();
        Err(Error::status(
            status,
            refusal.and_then(|refusal: Refusal| refusal.message),
        ))
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A whole body of bounded size.
async fn collect(mut body: Body, most: usize) -> Result<Vec<u8>, Error> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::Broken(Box::new(error)))?;
        let Ok(bytes) = frame.into_data() else { continue };
        if whole.len() + bytes.len() > most {
            return Err(Error::Huge(most));
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}

/// Only slices that belong to a service are of interest.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// A server that is there answers within a fraction of this, also while it is elected.
const HEAD: Duration = Duration::from_secs(10);
/// A page of the largest slices over a slow link.
const PAGE: Duration = Duration::from_secs(30);
/// Slices in a page: at 100 endpoints each about 4 MiB.
const PAGE_SLICES: usize = 100;
/// At 100 endpoints in a slice five million: no cluster has as many pods.
const PAGES: usize = 500;
/// Far above a page of common slices, and nothing that a process dies of.
const PAGE_BYTES: usize = 64 << 20;
/// A `Status` has some hundred bytes.
const REFUSAL_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
