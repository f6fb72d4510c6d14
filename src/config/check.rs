//! The keys of the file, section by section: what each may be, what it is when left out, and what it means.
//!
//! In: the file as a tree. Out: a [`Config`], or problems. The same functions, run over nothing, are the schema.
//!
//! Every default is a constant, written as one would write it in the file, with its reason.
//! Not here: how a section is walked ([`section`](super::section)), and how durations and sizes are spelled
//! ([`units`](super::units)).

mod address;
mod affinity;
mod cors;
mod process;
mod providers;
mod route;
mod service;
pub(super) mod source;
mod tls;

use std::{path::Path, sync::Arc};

use super::{
    Config, Listener, Route, Service,
    group::{Each, Entry, Named, refuse_twins},
    section::{Object, Section},
    shape::{Located, Shape},
};

/// The shape of a whole file whose relative file names begin at `folder`.
pub(super) fn file(folder: &Path) -> impl Shape<Value = Config> {
    let wants = "keys and values, such as `listeners:`, `services:` and `routes:`";
    Object::new(wants, move |file: &mut Section<'_>| config(file, folder))
}

fn config(file: &mut Section<'_>, folder: &Path) -> Option<Config> {
    let workers = process::workers(file);
    let log = file.section(
        "log",
        "What is written to the log.",
        "`{ level: info }`",
        process::log,
    );
    let limits = "What one process accepts.";
    let limits = file.section("limits", limits, "`{ request_head: 16KiB }`", process::limits);
    let listeners = listeners(file, folder);
    let admin = |admin: &mut Section<'_>| process::admin(admin, folder);
    let admin = Object::new("`{ address: 127.0.0.1:9901 }`", admin);
    let admin = file.optional("admin", "Where operators connect; absent: nowhere.", &admin);
    let common = "What the sources of all services have in common, by kind.";
    let read = |section: &mut Section<'_>| providers::providers(section, folder);
    let common = file.section("providers", common, "`{ dns: { allow: [127.0.0.0/8] } }`", read);
    providers::refuse_without_check(file, &common);
    let cache = providers::cache(file, folder);
    let affinity_secret_files = affinity::secrets(file, folder);
    let services = services(file, folder);
    let names: Vec<&str> = services.iter().map(|(name, _)| &*name.value).collect();
    let routes = routes(file, &names);
    affinity::refuse_unknown_parameters(file, &services, routes.as_deref().unwrap_or_default());
    let shutdown = "How the process ends after SIGTERM or SIGINT.";
    let shutdown = file.section(
        "shutdown",
        shutdown,
        "`{ window: 20s, deadline: 30s }`",
        process::shutdown,
    );

    process::refuse_shared_addresses(file, listeners.as_deref().unwrap_or_default(), admin.as_ref());
    let listeners = listeners?.into_iter().map(|listener| listener.value).collect();
    let services = services.into_iter().map(|(name, service)| {
        let name = name.value;
        service.map(|service| (name.clone(), Arc::new(Service { name, ..service })))
    });
    let services = services.collect::<Option<_>>()?;
    let routes = routes?.into_iter().map(|route| Arc::new(route.value)).collect();
    Some(Config {
        workers,
        log,
        limits,
        listeners,
        admin,
        providers: common,
        cache,
        affinity_secret_files,
        services,
        routes,
        shutdown,
    })
}

fn listeners(file: &mut Section<'_>, folder: &Path) -> Option<Vec<Located<Listener>>> {
    let read = |listener: &mut Section<'_>| process::listener(listener, folder);
    let listeners = Each {
        item: Object::new("`{ address: 127.0.0.1:8080 }`", read),
        some: true,
        wants: "a list with at least one `- address: 127.0.0.1:8080`",
    };
    file.required("listeners", "Where clients connect.", &listeners)
}

fn services(file: &mut Section<'_>, folder: &Path) -> Vec<Entry<Arc<str>, Service>> {
    let read = |section: &mut Section<'_>| service::service(section, folder);
    let services = Named {
        item: Object::new(
            "a service such as `{ discovery: { static: [127.0.0.1:9001] } }`",
            read,
        ),
        key: service::name,
        wants: "services by name",
    };
    file.or("services", "Services by name.", &services, "{}")
}

fn routes(file: &mut Section<'_>, services: &[&str]) -> Option<Vec<Located<Route>>> {
    let read = |section: &mut Section<'_>| route::route(section, services);
    let routes = Each {
        item: Object::new("`{ match: { path: /chat }, service: chat }`", read),
        some: true,
        wants: "a list with at least one `- { match: { path: /chat }, service: chat }`",
    };
    let doc = "Which requests go to which service; the most specific match wins, whatever the order.";
    let routes = file.required("routes", doc, &routes)?;
    let pattern = |route: &Route| route.pattern.clone();
    refuse_twins(file.notes(), &routes, "matches the same requests as", pattern);
    Some(routes)
}
