//! The methods of a service, tried on one request.
//!
//! In: the head of a request, as its backend would see it. Out: a [`Tie`], with the tag cut out of the request's query;
//! or the answer that a server gives which does not know an id.
//!
//! What becomes of a tied request, by its endpoint's state:
//! - active, draining, unhealthy: it is bound to it. A cookie's is moved from an unhealthy one.
//! - draining where `drain.mode` is `close`: it is turned away, each id at its own moment of the drain's window, so that
//!   clients that poll leave at the pace of those that hold a session. A WebSocket that resumes a session is turned
//!   away at once: it comes because its session was closed.
//! - not listed: it waits for discovery for a moment, and is then an orphan.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use discovery::{Identity, State};
use http::{HeaderValue, Method, Response, header, request::Parts, uri::PathAndQuery};

use super::{
    cookie, hash,
    query::{Case, Parameter, parameter},
    signalr, socketio,
    tag::{Fingerprint, Flags, Kind, LENGTH, Opened},
    tie::{Gives, Held, Tie, Turning},
};
use crate::{
    answer::Body,
    balance::{Bond, Listed},
    config::{self, Affinity, DrainMode, Orphans},
    listen::{Arrival, Kind as Asked},
    route::Matched,
    telemetry::metrics::{HandshakeEnd, TieEnd, TieMethod},
};

/// One request under judgement.
struct Judge<'h> {
    head: &'h mut Parts,
    matched: Matched,
    tie: Tie,
    asks_for_websocket: bool,
}

/// Where an authentic tag leads.
enum Leads {
    To(Identity, Listed),
    /// To an endpoint that closes its sessions.
    Away,
    Nowhere,
}

/// What an id in a request is.
struct Named {
    fingerprint: Fingerprint,
    flags: Flags,
    /// Where in the drain's window its moment is, of 2^64.
    moment: u64,
}

/// Tries the methods in order. `settings` are those of the service that the request goes to.
pub(super) async fn judge(
    head: &mut Parts,
    matched: Matched,
    settings: Arc<config::Service>,
) -> Result<(), Response<Body>> {
    let arrival = head.extensions.get::<Arc<Arrival>>();
    let listener = arrival.is_some_and(|arrival| arrival.peer.came_over_tls());
    let tie = Tie {
        service: Arc::clone(&matched.planned.service),
        tls: cookie::is_tls(&head.headers, listener),
        settings: Arc::clone(&settings),
        bond: Bond::None,
        gives: None,
        cookie: Held::Nothing,
        turning: None,
    };
    let mut judge = Judge {
        asks_for_websocket: matches!(head.extensions.get(), Some(Asked::WebSocket(_))),
        head,
        matched,
        tie,
    };
    for method in &settings.affinity {
        if let Err(answer) = judge.try_method(method).await {
            let metrics = &judge.matched.planned.metrics;
            match judge.asks_for_websocket {
                true => metrics.handshake(HandshakeEnd::Orphan),
                false => metrics.request(Some(answer.status())),
            }
            return Err(answer);
        }
    }
    let Judge {
        head, matched, tie, ..
    } = judge;
    head.extensions.insert(matched);
    head.extensions.insert(tie);
    Ok(())
}

impl Judge<'_> {
    async fn try_method(&mut self, method: &Affinity) -> Result<(), Response<Body>> {
        match method {
            Affinity::SignalR { orphans } => self.signalr(*orphans).await?,
            Affinity::SocketIo => self.socketio().await?,
            Affinity::Cookie(settings) => self.cookie(&settings.name).await,
            _ if self.tie.bond != Bond::None => {}
            Affinity::Header(name) => {
                self.hashed(TieMethod::Header, hash::header(&self.head.headers, name));
            }
            Affinity::Query(name) => {
                self.hashed(TieMethod::Query, hash::query(self.head.uri.query(), name));
            }
            Affinity::Path(names) => {
                let pattern = self.matched.planned.route.pattern.path();
                let value = hash::path(pattern, self.head.uri.path(), names);
                self.hashed(TieMethod::Path, value);
            }
            Affinity::ClientIp => {
                self.hashed(TieMethod::ClientIp, Some(hash::client(self.matched.client.ip())));
            }
        }
        Ok(())
    }

    async fn signalr(&mut self, orphans: Orphans) -> Result<(), Response<Body>> {
        if signalr::is_negotiate(&self.head.method, self.matched.upstream.path()) {
            self.gives(Gives::SignalR);
            return Ok(());
        }
        let upstream = self.matched.upstream.clone();
        let id = upstream
            .query()
            .and_then(|query| parameter(query, signalr::PARAMETER, Case::Any));
        let Some((id, named)) = self.named(TieMethod::SignalR, Kind::SignalR, id) else {
            return Ok(());
        };
        match self.leads(&named).await {
            Leads::To(identity, _) => {
                let polls = signalr::is_poll(&self.head.method, &self.head.headers);
                let answer = if polls { signalr::over } else { signalr::unknown };
                self.may_turn(TieMethod::SignalR, named.moment, answer);
                self.bind(TieMethod::SignalR, identity, &id.shortened(LENGTH));
            }
            Leads::Away => {
                self.tie.count(TieMethod::SignalR, TieEnd::Evicted);
                let polls = signalr::is_poll(&self.head.method, &self.head.headers);
                return Err(match polls && !self.asks_for_websocket {
                    true => signalr::over(),
                    false => signalr::unknown(),
                });
            }
            Leads::Nowhere
                if orphans == Orphans::Adopt && self.asks_for_websocket && !named.flags.stateful =>
            {
                self.tie.count(TieMethod::SignalR, TieEnd::Adopted);
                self.ask(&id.removed());
            }
            Leads::Nowhere => {
                self.tie.count(TieMethod::SignalR, TieEnd::Orphan);
                return Err(signalr::unknown());
            }
        }
        Ok(())
    }

    async fn socketio(&mut self) -> Result<(), Response<Body>> {
        let upstream = self.matched.upstream.clone();
        if socketio::is_opening(&self.head.method, upstream.query()) {
            self.gives(Gives::SocketIo);
            return Ok(());
        }
        let sid = upstream
            .query()
            .and_then(|query| parameter(query, socketio::PARAMETER, Case::Exact));
        let Some((sid, named)) = self.named(TieMethod::SocketIo, Kind::SocketIo, sid) else {
            return Ok(());
        };
        let end = match self.leads(&named).await {
            Leads::To(identity, _) => {
                self.may_turn(TieMethod::SocketIo, named.moment, socketio::unknown);
                self.bind(TieMethod::SocketIo, identity, &sid.shortened(LENGTH));
                return Ok(());
            }
            Leads::Away => TieEnd::Evicted,
            Leads::Nowhere => TieEnd::Orphan,
        };
        self.tie.count(TieMethod::SocketIo, end);
        Err(socketio::unknown())
    }

    async fn cookie(&mut self, name: &str) {
        let keyring = self.tie.service.directory.keyring();
        let service = Arc::clone(self.tie.service.balance.service());
        let opened = cookie::read(&self.head.headers, name, |text| keyring.open(&service, text));
        let named = match opened {
            Opened::Plain => return self.tie.count(TieMethod::Cookie, TieEnd::Absent),
            Opened::Forged => return self.tie.count(TieMethod::Cookie, TieEnd::Forged),
            Opened::Tagged {
                id,
                flags,
                fingerprint,
            } => Named {
                fingerprint,
                flags,
                moment: hash::moment(id),
            },
        };
        if matches!(self.tie.bond, Bond::Only(_)) {
            self.tie.cookie = Held::Kept;
            return;
        }
        let end = match self.leads(&named).await {
            Leads::To(_, listed) if listed.state == State::Unhealthy => TieEnd::Moved,
            Leads::To(identity, _) => {
                self.tie.cookie = Held::Binds(identity.clone());
                self.tie.bond = Bond::Rather(identity);
                TieEnd::Tied
            }
            Leads::Away => TieEnd::Evicted,
            Leads::Nowhere => TieEnd::Orphan,
        };
        self.tie.count(TieMethod::Cookie, end);
    }

    fn hashed(&mut self, method: TieMethod, value: Option<u64>) {
        match value {
            Some(hash) => {
                self.tie.bond = Bond::Hash(hash);
                self.tie.count(method, TieEnd::Tied);
            }
            None => self.tie.count(method, TieEnd::Absent),
        }
    }

    /// The answer will have to be read: it must not come packed.
    fn gives(&mut self, gives: Gives) {
        self.tie.gives = Some(gives);
        self.head
            .headers
            .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }

    /// The id of a request, if its tag is authentic.
    fn named<'q>(
        &self,
        method: TieMethod,
        kind: Kind,
        id: Option<Parameter<'q>>,
    ) -> Option<(Parameter<'q>, Named)> {
        let keyring = self.tie.service.directory.keyring();
        let service = self.tie.service.balance.service();
        let opened = id.as_ref().map(|id| keyring.open(service, id.decoded()));
        let end = match opened {
            None | Some(Opened::Plain) => TieEnd::Absent,
            Some(Opened::Tagged {
                id: text,
                flags,
                fingerprint,
            }) if flags.kind == kind => {
                let named = Named {
                    fingerprint,
                    flags,
                    moment: hash::moment(text),
                };
                return id.map(|id| (id, named));
            }
            Some(Opened::Tagged { .. } | Opened::Forged) => TieEnd::Forged,
        };
        self.tie.count(method, end);
        None
    }

    async fn leads(&self, named: &Named) -> Leads {
        let service = &self.tie.service;
        let Some(identity) = service.directory.find(named.fingerprint).await else {
            return Leads::Nowhere;
        };
        match service.balance.look_up(&identity) {
            Some(listed) if self.is_evicted(named, listed) => Leads::Away,
            Some(listed) => Leads::To(identity, listed),
            None => Leads::Nowhere,
        }
    }

    fn is_evicted(&self, named: &Named, listed: Listed) -> bool {
        let drain = self.tie.settings.drain;
        if drain.mode == DrainMode::Keep || listed.state != State::Draining {
            return false;
        }
        let resumes = self.asks_for_websocket && named.flags.stateful;
        resumes || listed.since.elapsed() >= moment(drain.window, named.moment)
    }

    /// A poll or a stream of events waits as a session does, so it ends as one: when its endpoint leaves.
    fn may_turn(&mut self, method: TieMethod, moment: u64, answer: fn() -> Response<Body>) {
        if self.head.method == Method::GET && !self.asks_for_websocket {
            self.tie.turning = Some(Turning {
                method,
                moment,
                answer,
            });
        }
    }

    fn bind(&mut self, method: TieMethod, identity: Identity, query: &str) {
        self.ask(query);
        self.tie.bond = Bond::Only(identity);
        self.tie.count(method, TieEnd::Tied);
    }

    /// Asks the backend with another query. It is the old one without some of it, so it can be asked.
    fn ask(&mut self, query: &str) {
        let path = self.matched.upstream.path();
        let target = match query {
            "" => path.to_owned(),
            _ => [path, "?", query].concat(),
        };
        if let Ok(target) = PathAndQuery::from_maybe_shared(Bytes::from(target)) {
            self.matched.upstream = target;
        }
    }
}

/// The part of a window that `of` is of 2^64.
pub(super) fn moment(window: Duration, of: u64) -> Duration {
    window.mul_f64(of as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests;
