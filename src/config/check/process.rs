//! What belongs to the process as a whole: workers, log, limits, listeners, admin address, shutdown.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tracing::Level;

use super::{address, tls};
use crate::config::{
    Admin, Limits, Listener, Log, Shutdown,
    group::{Each, refuse_twins},
    leaf::{self, Leaf},
    section::Section,
    shape::{Located, Shape},
    tree::Kind,
    units::show_duration,
};

pub(super) fn workers(file: &mut Section<'_>) -> Option<NonZeroUsize> {
    let doc = "Worker threads; 0 is one per core.";
    NonZeroUsize::new(file.or("workers", doc, &leaf::whole(0..=MAX_WORKERS), WORKERS))
}

pub(super) fn log(log: &mut Section<'_>) -> Option<Log> {
    let level = log.or(
        "level",
        "Lines below this level are not written.",
        &leaf::choice(LEVELS),
        LEVEL,
    );
    let sessions = "Whether each session writes a line when it opens and one when it ends.";
    Some(Log {
        level,
        sessions: log.or("sessions", sessions, &leaf::flag(), SESSION_LINES),
    })
}

pub(super) fn limits(limits: &mut Section<'_>) -> Option<Limits> {
    let connections = "Client connections at once; auto derives it from the file-descriptor limit.";
    let head = "Bytes of one request head.";
    let fields = "Header fields of one request.";
    let deadline = "From the accept to the end of the request head, all included.";
    Some(Limits {
        connections: limits.or("connections", connections, &auto_or_whole(), CONNECTIONS),
        request_head: limits.or("request_head", head, &leaf::size(MIN_HEAD..=MAX_HEAD), HEAD),
        request_headers: limits.or("request_headers", fields, &leaf::whole(1..=MAX_FIELDS), FIELDS),
        request_deadline: limits.or(
            "request_deadline",
            deadline,
            &leaf::duration(MIN_WAIT..=MAX_WAIT),
            DEADLINE,
        ),
    })
}

fn auto_or_whole() -> impl Shape<Value = Option<NonZeroUsize>> {
    let range = 1..=MAX_CONNECTIONS;
    let schema = json!({ "anyOf": [
        { "const": "auto" },
        { "type": "integer", "minimum": range.start(), "maximum": range.end() },
    ] });
    Leaf::new("`auto` or a whole number", schema, move |scalar| {
        match (scalar.kind(), &*scalar.text) {
            (Kind::Text, "auto") => Ok(None),
            _ => leaf::read_whole(scalar, &range).map(NonZeroUsize::new),
        }
    })
}

pub(super) fn listener(listener: &mut Section<'_>, folder: &Path) -> Option<Listener> {
    let address = listener.required(
        "address",
        "The address it binds; port 0 lets the kernel choose.",
        &address::to_bind(),
    );
    let tls = tls::listener(listener, folder);
    let doc = "Whether HTTP/2 is spoken beside HTTP/1.1.";
    let http2 = listener.or("http2", doc, &leaf::flag(), HTTP2);
    let proxies = "Peers whose forwarded headers are believed.";
    let networks = Each {
        item: address::network(),
        some: false,
        wants: "a list of networks such as `[10.0.0.0/8]`",
    };
    let proxies = listener.or("trusted_proxies", proxies, &networks, TRUSTED);
    refuse_twins(listener.notes(), &proxies, "is the same network as", |network| {
        *network
    });
    let header =
        "Whether every connection begins with a PROXY header (version 1 or 2), which only they may send.";
    let proxy_protocol = listener.or("proxy_protocol", header, &leaf::flag(), PROXY_PROTOCOL);
    if proxy_protocol && proxies.is_empty() {
        let nobody = "takes nobody's connection without `trusted_proxies`; write the addresses of the load balancers there";
        listener.refuse("proxy_protocol", nobody);
    }
    let trusted_proxies = proxies.into_iter().map(|network| network.value).collect();
    Some(Listener {
        address: address?,
        tls,
        http2,
        trusted_proxies,
        proxy_protocol,
    })
}

pub(super) fn admin(admin: &mut Section<'_>, folder: &Path) -> Option<Admin> {
    let address = admin.required("address", "The address it binds.", &address::to_bind());
    let doc = "The file that holds the token of changing requests; relative to this file.";
    let token_file = admin.optional("token_file", doc, &file_in(folder));
    Some(Admin {
        address: address?,
        token_file,
    })
}

/// The name of a file, relative to `folder`.
pub(super) fn file_in(folder: &Path) -> impl Shape<Value = PathBuf> {
    leaf::text("the name of a file", |text| match text {
        "" => Err("no file has an empty name; write one such as `admin.token`"),
        name => Ok(folder.join(name)),
    })
}

pub(super) fn shutdown(shutdown: &mut Section<'_>) -> Option<Shutdown> {
    let span = || leaf::duration(Duration::ZERO..=MAX_WAIT);
    let delay = "Not ready, but still accepting, for so long.";
    let delay = shutdown.or("delay", delay, &span(), DELAY);
    let window = shutdown.or(
        "window",
        "Closes are spread over it, from the end of delay.",
        &span(),
        WINDOW,
    );
    let deadline = "From the end of delay too: what is left is cut.";
    let deadline = shutdown.or("deadline", deadline, &span(), CUT);
    refuse_long_window(shutdown, window, deadline);
    Some(Shutdown {
        delay,
        window,
        deadline,
    })
}

/// Closes that are due after the cut would never be sent.
pub(super) fn refuse_long_window(section: &Section<'_>, window: Duration, deadline: Duration) {
    if window <= deadline {
        return;
    }
    let (long, short) = (show_duration(window), show_duration(deadline));
    if section.has("window") {
        section.refuse(
            "window",
            format!("{long} is longer than `deadline` ({short}); write {short} or less"),
        );
    } else {
        section.refuse(
            "deadline",
            format!("{short} is shorter than `window` ({long} if not written); add a `window`"),
        );
    }
}

/// Two sockets cannot listen on one port of one address.
pub(super) fn refuse_shared_addresses(
    file: &Section<'_>,
    listeners: &[Located<Listener>],
    admin: Option<&Admin>,
) {
    for (index, listener) in listeners.iter().enumerate() {
        if let Some(earlier) = listeners[..index]
            .iter()
            .find(|other| collide(other.value.address, listener.value.address))
        {
            let (path, line) = (&earlier.path, earlier.mark.line);
            let address = listener.value.address;
            file.refuse_at(
                listener,
                format!("{address} is taken by {path} in line {line}; write another port"),
            );
        }
    }
    let Some(admin) = admin else { return };
    if let Some(listener) = listeners
        .iter()
        .find(|listener| collide(listener.value.address, admin.address))
    {
        let (path, line) = (&listener.path, listener.mark.line);
        file.refuse(
            "admin",
            format!(
                "{} is taken by {path} in line {line}; write another port",
                admin.address
            ),
        );
    }
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let all = a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified());
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || all)
}

const LEVELS: &[(&str, Level)] = &[
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

/// One per core: a session never leaves its worker, so more threads than cores only add switches.
const WORKERS: &str = "0";
/// More than any machine has cores.
const MAX_WORKERS: usize = 1024;
/// Session lines are at this level, and nothing is written per message.
const LEVEL: &str = "info";
/// A session lasts for minutes to hours: two lines are cheap, and the only record of how it ended.
const SESSION_LINES: &str = "true";
/// The descriptor limit is what runs out first; a number that was right for another machine is not better.
const CONNECTIONS: &str = "auto";
/// Beyond what one process has descriptors for.
const MAX_CONNECTIONS: usize = 10_000_000;
/// Cookies and tokens fit; what most servers allow is between 8 and 64 KiB.
const HEAD: &str = "16KiB";
/// The HTTP parser's smallest buffer.
const MIN_HEAD: usize = 8 << 10;
/// A head is buffered before anything is known of its sender.
const MAX_HEAD: usize = 1 << 20;
/// The limit of most servers; a browser sends about 20.
const FIELDS: &str = "100";
/// As many as fit in the largest head.
const MAX_FIELDS: usize = 10_000;
/// Slow phones need one or two seconds; a peer that trickles its head holds a descriptor for no longer.
const DEADLINE: &str = "10s";
/// Below this a head cannot even arrive in two segments.
const MIN_WAIT: Duration = Duration::from_millis(10);
/// Who waits longer has a unit wrong.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);
/// Whoever is believed chooses the client's address, so nobody is by default.
const TRUSTED: &str = "[]";
/// A listener that waits for a header which never comes serves nobody.
const PROXY_PROTOCOL: &str = "false";
/// Browsers speak it wherever TLS offers it, and a listener that does not would make them open a connection for each session.
const HTTP2: &str = "true";
/// What runs without a load balancer in front needs none; in Kubernetes 5 to 15 s let endpoints catch up.
const DELAY: &str = "0s";
/// With `CUT` inside the 30 s that Kubernetes and systemd give or exceed.
const WINDOW: &str = "20s";
/// `terminationGracePeriodSeconds` is 30 by default; after it the kernel cuts all sessions anyway.
const CUT: &str = "30s";
