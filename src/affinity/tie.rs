//! What affinity knows of a request, from its head to the answer.
//!
//! In: what [`super::judge`] found. Out: a [`Bond`] for each pick; and the answer with an id tagged or a cookie set.

use std::sync::Arc;

use discovery::{Endpoint, Identity, State};
use http::{Response, StatusCode, header};
use tokio::time::Instant;

use super::{
    cookie,
    judge::moment,
    mint::{self, Untouched},
    signalr, socketio,
    tag::{Flags, Kind},
};
use crate::{
    answer::Body,
    balance::Bond,
    config::{self, Affinity, AffinityCookie, DrainMode},
    router::Service,
    telemetry::metrics::{TieEnd, TieMethod},
    timers::sleep_until,
};

/// What affinity knows of a request to a service that has any. A service without has none.
#[derive(Clone, Debug)]
pub struct Tie {
    pub(super) service: Arc<Service>,
    /// As they were when the request came.
    pub(super) settings: Arc<config::Service>,
    pub(super) bond: Bond,
    pub(super) gives: Option<Gives>,
    pub(super) cookie: Held,
    /// The client came over TLS.
    pub(super) tls: bool,
    /// Of a request that its endpoint may take its time with: how it is turned away when the endpoint leaves meanwhile.
    pub(super) turning: Option<Turning>,
}

/// How a request under way is turned away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turning {
    pub(super) method: TieMethod,
    /// Where in the drain's window its moment is, of 2^64.
    pub(super) moment: u64,
    pub(super) answer: fn() -> Response<Body>,
}

/// Which id the answer will give out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    SignalR,
    SocketIo,
}

/// What the client's cookie is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// There is none, or none that leads anywhere.
    Nothing,
    /// It stays as it is: the request goes by something else.
    Kept,
    /// It is what binds the request, to this endpoint.
    Binds(Identity),
}

/// Whether an endpoint says of itself that it cannot serve, and another may.
pub fn is_unable(status: StatusCode) -> bool {
    [
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ]
    .contains(&status)
}

impl Tie {
    /// What binds the picks for this request.
    pub fn bond(&self) -> Bond {
        self.bond.clone()
    }

    /// Whether the request may be sent to another endpoint though one may have read it: a negotiate, which only makes
    /// an id that nobody uses when its answer is lost.
    pub fn is_repeatable(&self) -> bool {
        self.gives.is_some() && !matches!(self.bond, Bond::Only(_))
    }

    /// The answer of `endpoint`, a 101 or any other, as the client is to have it. Holds up to 64 KiB of one that gives
    /// out an id.
    pub async fn mint(&self, endpoint: &Endpoint, response: Response<Body>) -> Response<Body> {
        let mut response = match self.gives {
            Some(gives) => self.tag(gives, endpoint, response).await,
            None => response,
        };
        if is_unable(response.status()) {
            // Whoever was tied to it now would have this for an answer again and again.
            return response;
        }
        for method in &self.settings.affinity {
            if let Affinity::Cookie(settings) = method {
                self.set_cookie(settings, endpoint, &mut response);
            }
        }
        response
    }

    async fn tag(&self, gives: Gives, endpoint: &Endpoint, response: Response<Body>) -> Response<Body> {
        let keyring = self.service.directory.keyring();
        let name = self.service.balance.service();
        let tag = |id: &[u8], flags| keyring.tag(name, &endpoint.identity, flags, id);
        let (method, (response, done)) = match gives {
            Gives::SignalR => (
                TieMethod::SignalR,
                mint::rewrite(response, |body| signalr::splice(body, tag)).await,
            ),
            Gives::SocketIo => {
                let splice = |body: &str| {
                    socketio::splice(body, |id| tag(id, Flags::of(Kind::SocketIo)))
                        .ok_or(Untouched::Unmintable)
                };
                (TieMethod::SocketIo, mint::rewrite(response, splice).await)
            }
        };
        self.count(
            method,
            match done {
                Ok(()) => TieEnd::Minted,
                Err(Untouched::Unmintable) => TieEnd::Unmintable,
                Err(Untouched::NoId) => TieEnd::NoId,
            },
        );
        response
    }

    fn set_cookie(&self, settings: &AffinityCookie, endpoint: &Endpoint, response: &mut Response<Body>) {
        let end = match &self.cookie {
            Held::Kept => return,
            Held::Binds(identity) if *identity == endpoint.identity => return,
            Held::Binds(_) => TieEnd::Moved,
            Held::Nothing => TieEnd::Minted,
        };
        let keyring = self.service.directory.keyring();
        let name = self.service.balance.service();
        let end = match cookie::set(settings, &keyring, name, &endpoint.identity, self.tls) {
            Some(value) => {
                response.headers_mut().append(header::SET_COOKIE, value);
                end
            }
            None => TieEnd::Unmintable,
        };
        self.count(TieMethod::Cookie, end);
    }

    /// Whether [`Self::turned_away`] can ever be done.
    pub fn may_be_turned_away(&self) -> bool {
        self.turning.is_some()
    }

    /// Waits until the request's endpoint leaves and its sessions are being closed, and then for this one's moment; for ever
    /// where the endpoint may keep it. The answer is for a client that has none yet.
    pub async fn turned_away(self) -> Response<Body> {
        let (Some(turning), Bond::Only(identity)) = (self.turning, &self.bond) else {
            return std::future::pending().await;
        };
        let mut leaving = self.service.balance.leaving();
        loop {
            if let Some(at) = self.leaves_at(identity, turning.moment) {
                sleep_until(at).await;
                // It may have come back meanwhile.
                if self.leaves_at(identity, turning.moment).is_some() {
                    self.count(turning.method, TieEnd::Evicted);
                    return (turning.answer)();
                }
            }
            if leaving.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn leaves_at(&self, identity: &Identity, of: u64) -> Option<Instant> {
        let drain = self.service.settings.load().drain;
        let since = match self.service.balance.look_up(identity) {
            Some(listed) if listed.state == State::Draining => listed.since,
            Some(_) => return None,
            None => Instant::now(),
        };
        (drain.mode == DrainMode::Close).then(|| since + moment(drain.window, of))
    }

    pub(super) fn count(&self, method: TieMethod, end: TieEnd) {
        self.service.affinity.count(method, end);
    }
}
