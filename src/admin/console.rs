//! The console: one page that shows services, endpoints and sessions, and refreshes itself.
//!
//! In: nothing; the page reads `/api` like any other client. Out: `/`, `/console.js`, `/console.css`, built into the
//! program and without anything from elsewhere, as the content security policy demands.
//!
//! The page and its files hold no data. Where `/api` wants the token, the page asks for it and keeps it in its own memory.

use axum::{
    Router,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

use super::Sources;

pub(super) fn router() -> Router<Sources> {
    Router::new()
        .route("/", get(async || asset(HTML, PAGE)))
        .route(
            "/console.js",
            get(async || asset(SCRIPT, include_str!("console/console.js"))),
        )
        .route(
            "/console.css",
            get(async || asset(STYLE, include_str!("console/console.css"))),
        )
}

/// A file of a page, built into the program.
pub(crate) fn asset(content_type: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(content_type))], text).into_response()
}

pub(super) const PAGE: &str = include_str!("console/page.html");

pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(crate) const STYLE: &str = "text/css; charset=utf-8";
