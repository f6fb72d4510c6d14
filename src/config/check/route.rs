//! A route: what it matches, the service it binds to, how it rewrites, and the bounds of its sessions.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderValue, uri::Authority};

use super::cors;
use crate::{
    config::{
        Forwarded, HostRewrite, Route, SessionLimits,
        group::Named,
        leaf,
        problem::shown,
        section::{Object, Section},
        suggest::nearest,
    },
    route::{FieldMatch, HostPattern, PathPattern, Pattern, Template},
};

pub(super) fn route(route: &mut Section<'_>, services: &[&str]) -> Option<Route> {
    let matches = Object::new("`{ host: chat.example.com, path: /chat }`", matched);
    let matches = route.required(
        "match",
        "What it matches: all of it must. Empty: every request.",
        &matches,
    );
    let service = leaf::text("the name of a service", |text| known_service(text, services));
    let service = route.required("service", "The service it binds to.", &service);
    let rewrite = "The path sent to the backend, of the parameters of match.path; absent: the client's own.";
    let rewrite = route.optional("rewrite", rewrite, &leaf::text("a path such as `/{rest}`", kept));
    let host = "The Host sent to the backend: the client's own (preserve), or this one.";
    let host = route.or(
        "host",
        host,
        &leaf::text("`preserve` or a host name", host_rewrite),
        HOST,
    );
    let forwarded = "Which headers tell the backend about the client.";
    let forwarded = route.or("forwarded", forwarded, &leaf::choice(FORWARDED), FORWARD);
    let slash = "Whether paths with %2F are matched; otherwise they are answered 400.";
    let slash = route.or("allow_encoded_slash", slash, &leaf::flag(), ENCODED_SLASH);
    let origins = cors::origins(route);
    let cors = "What scripts of other origins may send and read; absent: for the backend to say.";
    let rules = Object::new("`{ origins: [\"https://app.example.com\"] }`", cors::cors);
    let cors = route.optional("cors", cors, &rules);
    let session = "Bounds of its sessions.";
    let session = route.section("session", session, "`{ idle_timeout: 1h }`", session_limits);

    let matches = matches?;
    let path = matches.path?;
    let rewrite = match rewrite.map(|text| Template::parse(&text, &path)).transpose() {
        Ok(rewrite) => rewrite,
        Err(error) => {
            route.refuse("rewrite", error.to_string());
            return None;
        }
    };
    let pattern = Pattern::new(matches.host?, path, matches.headers?, matches.query?, slash);
    let name = pattern.to_string().into();
    Some(Route {
        name,
        pattern,
        service: service?,
        rewrite,
        host,
        forwarded,
        origins,
        cors,
        session,
    })
}

/// The parts of a pattern; what is broken is `None`, so that the others are still checked against each other.
struct Matched {
    host: Option<HostPattern>,
    path: Option<PathPattern>,
    headers: Option<Vec<FieldMatch>>,
    query: Option<Vec<FieldMatch>>,
}

fn matched(section: &mut Section<'_>) -> Option<Matched> {
    let host = "A name, `*.` and a suffix, or `*` for any; without a port.";
    let host = section.try_or(
        "host",
        host,
        &leaf::text("a host name", HostPattern::parse),
        ANY_HOST,
    );
    let path = "Segments; `{name}` matches one, a final `{*name}` all that follow.";
    let path = section.try_or(
        "path",
        path,
        &leaf::text("a path such as `/chat`", PathPattern::parse),
        ANY_PATH,
    );
    let headers = "Header fields by name, with the value they must have; `*` is any.";
    let headers = fields(section, "headers", headers, FieldMatch::header);
    let query = "Query parameters by name, with the value they must have; `*` is any.";
    let query = fields(section, "query", query, FieldMatch::query);
    Some(Matched {
        host,
        path,
        headers,
        query,
    })
}

fn fields<E: std::fmt::Display>(
    section: &mut Section<'_>,
    key: &'static str,
    doc: &str,
    field: impl Fn(&str, Option<&str>) -> Result<FieldMatch, E>,
) -> Option<Vec<FieldMatch>> {
    let wants = "names with values, such as `{ x-version: \"2\" }`";
    let named = Named {
        item: leaf::text("text, in quotes if it looks like a number, or `\"*\"`", kept),
        key: |name: &str| Ok(name.to_owned()),
        wants,
    };
    let mut read: Vec<FieldMatch> = Vec::new();
    let mut whole = true;
    for (name, value) in section.try_or(key, doc, &named, "{}")? {
        let Some(value) = value else {
            whole = false;
            continue;
        };
        match field(&name.value, Some(&*value).filter(|value| *value != PRESENT)) {
            Ok(field) => read.push(field),
            Err(error) => {
                section.refuse_at(&name, error.to_string());
                whole = false;
            }
        }
    }
    whole.then_some(read)
}

fn session_limits(session: &mut Section<'_>) -> Option<SessionLimits> {
    let span = || leaf::duration(MIN_SPAN..=MAX_SPAN);
    let idle = "No byte in either direction for so long ends a session.";
    let life = "A session ends at this age, or up to a tenth earlier; absent: never.";
    let ping = "A Ping to both peers after so long; absent: none.";
    let pong = "A Ping must be answered within this.";
    let limits = SessionLimits {
        idle_timeout: session.or("idle_timeout", idle, &span(), IDLE),
        max_lifetime: session.optional("max_lifetime", life, &span()),
        ping_interval: session.optional("ping_interval", ping, &span()),
        ping_timeout: session.or("ping_timeout", pong, &span(), PONG),
    };
    if session.has("ping_timeout") && !session.has("ping_interval") {
        session.refuse(
            "ping_timeout",
            "means nothing without Pings; add `ping_interval`, such as `30s`",
        );
    }
    Some(limits)
}

fn known_service(text: &str, services: &[&str]) -> Result<Arc<str>, String> {
    if services.contains(&text) {
        return Ok(text.into());
    }
    let none = format!("no service is named {}", shown(text));
    Err(match nearest(text, services.iter().copied()) {
        Some(name) => format!("{none}; did you mean `{name}`?"),
        None => format!("{none}; add it under `services`"),
    })
}

fn host_rewrite(text: &str) -> Result<HostRewrite, String> {
    if text == HOST {
        return Ok(HostRewrite::Preserve);
    }
    let plain = text
        .parse::<Authority>()
        .ok()
        .filter(|host| !host.as_str().contains('@') && !host.host().is_empty());
    plain
        .and_then(|host| HeaderValue::from_str(host.as_str()).ok())
        .map(HostRewrite::Set)
        .ok_or_else(|| {
            format!(
                "{} is no host; write `preserve` or a name such as `chat.internal`",
                shown(text)
            )
        })
}

fn kept(text: &str) -> Result<String, Infallible> {
    Ok(text.to_owned())
}

const FORWARDED: &[(&str, Forwarded)] = &[
    ("x-forwarded", Forwarded::XForwarded),
    ("forwarded", Forwarded::Forwarded),
    ("both", Forwarded::Both),
    ("none", Forwarded::None),
];

/// The value of a field that may have any.
const PRESENT: &str = "*";
/// Quoted: a bare `*` begins an alias.
const ANY_HOST: &str = "'*'";
/// A rewrite can name what it matched.
const ANY_PATH: &str = "/{*rest}";
/// Backends check it against the Origin and build links with it.
const HOST: &str = "preserve";
/// What backend frameworks read without being told to.
const FORWARD: &str = "x-forwarded";
/// Readers disagree on what it separates, so it could be a way around a route.
const ENCODED_SLASH: &str = "false";
/// A peer that vanished without a word is found by TCP keep-alive; this ends what is alive and forgotten.
const IDLE: &str = "1h";
/// The longest pause of a phone that changes networks, and a browser's own limit.
const PONG: &str = "20s";
/// Shorter bounds are below the scheduling of a busy client.
const MIN_SPAN: Duration = Duration::from_millis(10);
/// Longer than any process runs; it also keeps sums of times from overflowing.
const MAX_SPAN: Duration = Duration::from_secs(365 * 24 * 3600);
