//! Why a request must go to a given endpoint: the methods of a service's `affinity:`.

use http::HeaderName;

/// One method of a service's `affinity:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Affinity {
    /// `signalr`, or `signalr:` with its keys: the id that an ASP.NET Core SignalR server gives out is tagged.
    SignalR {
        /// `orphans: reject`: what becomes of a WebSocket whose endpoint is gone.
        orphans: Orphans,
    },
    /// `socketio`: the `sid` that an engine.io server gives out is tagged.
    SocketIo,
    /// `cookie:` a name, with its attributes beside it.
    Cookie(AffinityCookie),
    /// `header:` requests with an equal value of this field go to one endpoint.
    Header(HeaderName),
    /// `query:` the same by a query parameter.
    Query(Box<str>),
    /// `path:` the same by one or several parameters of the route's path.
    Path(Vec<Box<str>>),
    /// `client-ip`: the same by the client's address, in IPv6 by its /64.
    ClientIp,
}

/// What becomes of a SignalR WebSocket whose endpoint is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Orphans {
    /// `reject`: 404, as the server itself would say; the client negotiates anew.
    Reject,
    /// `adopt`: it becomes a new connection on another endpoint, which knows it under another id.
    Adopt,
}

/// The cookie that ties a browser to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AffinityCookie {
    /// `cookie:` its name.
    pub name: Box<str>,
    /// `cookie_path: /`: its `Path`.
    pub path: Box<str>,
    /// `domain:` its `Domain`; absent: the host that the client asked.
    pub domain: Option<Box<str>>,
    /// `same_site: lax`, `strict` or `none`.
    pub same_site: SameSite,
    /// `partitioned: false`: browsers keep one for each site that the page is embedded in.
    pub partitioned: bool,
}

/// With which requests from other sites a browser sends a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// `strict`: none.
    Strict,
    /// `lax`: those that lead to a page.
    Lax,
    /// `none`: all, and only over TLS.
    None,
}

impl Affinity {
    /// Whether it hands out tags, which need a secret.
    pub fn is_tagged(&self) -> bool {
        matches!(self, Self::SignalR { .. } | Self::SocketIo | Self::Cookie(_))
    }

    /// Whether it leads by a hash.
    pub fn is_hashed(&self) -> bool {
        !self.is_tagged()
    }
}
