//! A service's affinity: one method, or several that are tried in order.

use std::{path::Path, path::PathBuf, sync::Arc};

use http::HeaderName;
use serde_json::{Value as Json, json};

use super::process::file_in;
use crate::config::{
    Affinity, AffinityCookie, Orphans, Route, SameSite, Service,
    group::{Each, Entry, OneOrEach, refuse_twins},
    leaf,
    problem::shown,
    section::{Object, Section},
    shape::{At, Located, Shape},
    tree::Value,
};

/// The files of the secrets, the one that makes tags first.
pub(super) fn secrets(file: &mut Section<'_>, folder: &Path) -> Vec<PathBuf> {
    let doc = "Files with the base64 of at least 32 bytes; the first makes tags, all read them.";
    let files = Each {
        item: file_in(folder),
        some: false,
        wants: "a list of files such as `[new.key, old.key]`",
    };
    let files = file.or("affinity_secret_files", doc, &files, SECRETS);
    refuse_twins(file.notes(), &files, "is the same file as", PathBuf::clone);
    files.into_iter().map(|file| file.value).collect()
}

/// The methods of a service, in the order in which they are tried.
pub(super) fn methods(service: &mut Section<'_>) -> Vec<Affinity> {
    let doc = "Why a request must go to a given endpoint: a method, or a list that is tried in order.";
    let methods = OneOrEach(Each {
        item: Method,
        some: true,
        wants: WANTS,
    });
    let methods = service.or("affinity", doc, &methods, NONE);
    refuse_twins(service.notes(), &methods, "is the same as", Option::clone);
    if methods.len() > 1
        && let Some(none) = methods.iter().find(|method| method.value.is_none())
    {
        service.refuse_at(none, "stands among others; write it alone, or remove it");
    }
    methods.into_iter().filter_map(|method| method.value).collect()
}

/// A path parameter that no route of the service has would never lead anywhere.
pub(super) fn refuse_unknown_parameters(
    file: &Section<'_>,
    services: &[Entry<Arc<str>, Service>],
    routes: &[Located<Route>],
) {
    for (name, service) in services {
        let methods = service.iter().flat_map(|service| &service.affinity);
        for wanted in methods.flat_map(parameters) {
            let mut own = routes.iter().filter(|route| route.value.service == name.value);
            if !own.any(|route| route.value.pattern.path().names().any(|known| known == wanted)) {
                let wanted = shown(wanted);
                let why = format!("has affinity by {wanted}, and no route to it has that in its path");
                file.refuse_at(name, why);
            }
        }
    }
}

fn parameters(method: &Affinity) -> impl Iterator<Item = &str> {
    let names = match method {
        Affinity::Path(names) => &names[..],
        _ => &[],
    };
    names.iter().map(|name| &**name)
}

/// A method as a word or as a map; `none` is none.
struct Method;

#[derive(Clone, Copy)]
enum Word {
    None,
    SignalR,
    SocketIo,
    ClientIp,
}

impl Method {
    fn map() -> impl Shape<Value = Affinity> {
        Object::new("`{ cookie: node }`", method)
    }
}

impl Shape for Method {
    type Value = Option<Affinity>;

    fn wants(&self) -> String {
        WANTS.to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [leaf::choice(WORDS).schema(), Self::map().schema()] })
    }

    fn read(&self, at: &At<'_>) -> Option<Option<Affinity>> {
        match at.node.value {
            Value::Scalar(_) => leaf::choice(WORDS).read(at).map(|word| match word {
                Word::None => None,
                Word::SignalR => Some(Affinity::SignalR {
                    orphans: Orphans::Reject,
                }),
                Word::SocketIo => Some(Affinity::SocketIo),
                Word::ClientIp => Some(Affinity::ClientIp),
            }),
            _ => Self::map().read(at).map(Some),
        }
    }
}

fn method(map: &mut Section<'_>) -> Option<Affinity> {
    let signalr = Object::new("`{ orphans: adopt }`", orphans);
    let signalr = map.optional("signalr", "As the word, with settings.", &signalr);
    let cookie = map.optional(
        "cookie",
        "The name of a cookie.",
        &leaf::text("a name", cookie_name),
    );
    let attributes = attributes(map);
    let header = "A header field: equal values go to one endpoint.";
    let header = map.optional("header", header, &leaf::text("the name of a header", header_name));
    let query = "A query parameter: equal values go to one endpoint.";
    let query = map.optional("query", query, &leaf::text("the name of a parameter", parameter));
    let path = "One or several parameters of the route's path: equal values go to one endpoint.";
    let names = OneOrEach(Each {
        item: leaf::text("the name of a parameter", parameter),
        some: true,
        wants: "the name of a parameter of the path, or a list such as `[server, session]`",
    });
    let path = map.optional("path", path, &names);
    let kinds: Vec<_> = KINDS.iter().filter(|kind| map.has(kind)).collect();
    match kinds[..] {
        [] => map.refuse("cookie", format!("is missing; write {WANTS}")),
        [first, second, ..] => {
            map.refuse(
                second,
                format!("stands beside `{first}`; write each on its own, as a list"),
            );
        }
        _ => {}
    }
    for attribute in ATTRIBUTES.iter().filter(|name| map.has(name)) {
        if !kinds.is_empty() && !map.has("cookie") {
            map.refuse(
                attribute,
                "is an attribute of a cookie; add `cookie`, or remove it",
            );
        }
    }
    let path = path.map(|names| names.into_iter().map(|name| name.value).collect());
    let made = [
        signalr,
        cookie.map(|name| Affinity::Cookie(AffinityCookie { name, ..attributes })),
        header.map(Affinity::Header),
        query.map(Affinity::Query),
        path.map(Affinity::Path),
    ];
    made.into_iter().flatten().next()
}

fn orphans(signalr: &mut Section<'_>) -> Option<Affinity> {
    let doc = "What becomes of a WebSocket whose endpoint is gone.";
    let orphans = signalr.or("orphans", doc, &leaf::choice(ORPHANS), REJECT);
    Some(Affinity::SignalR { orphans })
}

/// The attributes of a cookie that has no name yet.
fn attributes(map: &mut Section<'_>) -> AffinityCookie {
    let path = "The cookie's Path.";
    let path = map.or(
        "cookie_path",
        path,
        &leaf::text("a path such as `/`", attribute_path),
        ROOT,
    );
    let domain = "The cookie's Domain; absent: the host that the client asked.";
    let domain = map.optional("domain", domain, &leaf::text("a domain", attribute_domain));
    let same_site = "With which requests from other sites browsers send the cookie.";
    let same_site = map.or("same_site", same_site, &leaf::choice(SAME_SITE), LAX);
    let partitioned = "Whether browsers keep one for each site that the page is embedded in.";
    AffinityCookie {
        name: "".into(),
        path,
        domain,
        same_site,
        partitioned: map.or("partitioned", partitioned, &leaf::flag(), PARTITIONED),
    }
}

fn cookie_name(text: &str) -> Result<Box<str>, String> {
    // RFC 6265: a token, which is what a header's name is too.
    match HeaderName::try_from(text) {
        Ok(_) => Ok(text.into()),
        Err(_) => Err(format!(
            "{} is no name of a cookie; write letters, digits, `-` and `_`",
            shown(text)
        )),
    }
}

fn header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(text).map_err(|_| format!("{} is no name of a header", shown(text)))
}

fn parameter(text: &str) -> Result<Box<str>, String> {
    match text {
        "" => Err("a parameter has a name; write one such as `room`".to_owned()),
        name => Ok(name.into()),
    }
}

fn attribute_path(text: &str) -> Result<Box<str>, String> {
    let plain = |b: u8| b.is_ascii_graphic() && b != b';';
    match text.starts_with('/') && text.bytes().all(plain) {
        true => Ok(text.into()),
        false => Err(format!(
            "{} is no path of a cookie; write one such as `/chat`",
            shown(text)
        )),
    }
}

fn attribute_domain(text: &str) -> Result<Box<str>, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    match !text.is_empty() && text.bytes().all(plain) {
        true => Ok(text.into()),
        false => Err(format!(
            "{} is no domain; write one such as `example.com`",
            shown(text)
        )),
    }
}

const WANTS: &str =
    "`none`, `signalr`, `socketio`, `client-ip` or a map such as `{ cookie: node }`, or a list of these";
const WORDS: &[(&str, Word)] = &[
    ("none", Word::None),
    ("signalr", Word::SignalR),
    ("socketio", Word::SocketIo),
    ("client-ip", Word::ClientIp),
];
const ORPHANS: &[(&str, Orphans)] = &[("reject", Orphans::Reject), ("adopt", Orphans::Adopt)];
const SAME_SITE: &[(&str, SameSite)] = &[
    ("strict", SameSite::Strict),
    ("lax", SameSite::Lax),
    ("none", SameSite::None),
];
/// The keys of which a method has one.
const KINDS: [&str; 5] = ["signalr", "cookie", "header", "query", "path"];
/// The keys that only a cookie has.
const ATTRIBUTES: [&str; 4] = ["cookie_path", "domain", "same_site", "partitioned"];

/// A secret of the process's own, which no other replica has.
const SECRETS: &str = "[]";
/// A WebSocket that needs no other request needs no affinity either.
const NONE: &str = "none";
/// A client that is told the truth negotiates anew; an adopted one has another id than it thinks.
const REJECT: &str = "reject";
/// Sessions have paths of their own beside their pages'.
const ROOT: &str = "/";
/// What browsers take a cookie for that says nothing.
const LAX: &str = "lax";
/// Only embedded pages need it, and it is only sent over TLS.
const PARTITIONED: &str = "false";
