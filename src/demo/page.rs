//! The page of the demo: opens sessions through the router and shows where they went.
//!
//! In: the router's address. Out: [`router`], with `/demo`, `/demo.js` and `/demo.css`, to be merged into the admin address.
//!
//! What the page expects of the demo's backends: the first message of a session is a text message that names the backend,
//! [`greeting`]; every message after it is sent back as it came.
//!
//! Elements for those who drive it: `#connect` opens as many sessions as `#count` says (`#open-1`, `#open-10` and
//! `#open-100` open that many), `#close` closes all, `#backend` names the last backend that answered, `#send` sends
//! `#message` on every session and `#log` shows what came back, `#spread` has one `.bar` per backend with `data-backend`
//! and `data-sessions`, `#open` is the number of open sessions.

use std::net::SocketAddr;

use axum::{
    Router,
    http::{
        HeaderValue,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::IntoResponse,
    routing::get,
};
use serde_json::json;

use crate::admin::console::{HTML, SCRIPT, STYLE, asset};

/// The pages of a demo whose router listens at this address.
pub fn router(router: SocketAddr) -> Router {
    let page = include_str!("page.html").replace("{router}", &format!("ws://{router}/"));
    // The page is on another port than the router, so the policy must let it connect there.
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src ws://{router}; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::try_from(policy).expect("an address is printable");
    let html = HeaderValue::from_static(HTML);
    let headers = [(CONTENT_TYPE, html), (CONTENT_SECURITY_POLICY, policy)];
    Router::new()
        .route("/demo", get(async move || (headers, page).into_response()))
        .route("/demo.js", get(async || asset(SCRIPT, include_str!("page.js"))))
        .route("/demo.css", get(async || asset(STYLE, include_str!("page.css"))))
}

/// What a backend of the demo sends first on each session.
pub fn greeting(backend: &str) -> String {
    json!({ "backend": backend }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_json_whatever_the_name() {
        let parsed: serde_json::Value = serde_json::from_str(&greeting("a \"b\"")).unwrap();
        assert_eq!(parsed["backend"], "a \"b\"");
    }
}
