//! A config file, put together from what a test cares about.

use std::net::SocketAddr;

use super::Backend;

/// The text of a config file; every port in it is the kernel's choice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    top: String,
    listener: String,
    admin: String,
    services: String,
    routes: String,
}

impl Config {
    /// One service `chat` over these backends, and a route that sends everything there.
    pub(crate) fn to(backends: &[&Backend]) -> Self {
        Self::over(backends, "", "")
    }

    /// As [`Self::to`], with more keys for the service and for the route (`key: value, key: value`).
    pub(crate) fn over(backends: &[&Backend], service: &str, route: &str) -> Self {
        let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
        Self::default()
            .service("chat", &addresses, service)
            .route(r#"path: "/{*rest}""#, "chat", route)
    }

    pub(crate) fn service(self, name: &str, addresses: &[SocketAddr], more: &str) -> Self {
        let list: Vec<_> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
        self.service_of(name, &list, more)
    }

    /// A service whose endpoints are written out, weights and all.
    pub(crate) fn service_of(mut self, name: &str, endpoints: &[String], more: &str) -> Self {
        let comma = if more.is_empty() { "" } else { ", " };
        let list = endpoints.join(", ");
        self.services += &format!("  {name}: {{ discovery: {{ static: [{list}] }}{comma}{more} }}\n");
        self
    }

    /// A service whose discovery is written out.
    pub(crate) fn service_from(mut self, name: &str, discovery: &str, more: &str) -> Self {
        let comma = if more.is_empty() { "" } else { ", " };
        self.services += &format!("  {name}: {{ discovery: {discovery}{comma}{more} }}\n");
        self
    }

    /// The keys of the admin address beside its own.
    pub(crate) fn admin(mut self, more: &str) -> Self {
        self.admin = format!(", {more}");
        self
    }

    pub(crate) fn route(mut self, matches: &str, service: &str, more: &str) -> Self {
        let comma = if more.is_empty() { "" } else { ", " };
        self.routes += &format!("  - {{ match: {{ {matches} }}, service: {service}{comma}{more} }}\n");
        self
    }

    /// More keys for the listener.
    pub(crate) fn listener(mut self, more: &str) -> Self {
        self.listener = format!(", {more}");
        self
    }

    /// A whole line at the top level.
    pub(crate) fn line(mut self, line: &str) -> Self {
        self.top += &format!("{line}\n");
        self
    }

    pub(crate) fn text(&self) -> String {
        let Self {
            top,
            listener,
            admin,
            services,
            routes,
        } = self;
        let workers = if top.contains("workers:") {
            ""
        } else {
            "workers: 2\n"
        };
        format!(
            "{workers}{top}listeners:\n  - {{ address: \"127.0.0.1:0\"{listener} }}\nadmin: {{ address: \"127.0.0.1:0\"{admin} }}\nservices:\n{services}routes:\n{routes}"
        )
    }
}
