//! HTTP on `listen`: metrics, probes, status, where a person is. Read-only.

mod connection;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod page;
mod route;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, WWW_AUTHENTICATE,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::{Next, from_fn_with_state, map_response},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::connection::{Bounded, Bounds};
use crate::{
    config::{Secret, Setting},
    error::{Error, Result},
    metrics,
    sync::status::Status,
};

/// What a document may load: its own style and script, and itself anew.
const DOCUMENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// On every answer, unless it says otherwise.
const SAFE: [(HeaderName, &str); 6] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, DOCUMENT_POLICY),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The server, bound and not yet serving.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<Secret<String>>,
}

impl Admin {
    /// Takes the address. With a token, everything but probes and metrics asks for it.
    pub async fn bind(listen: SocketAddr, token: Option<Secret<String>>) -> Result<Self> {
        let refused = |error: std::io::Error| {
            let hint =
                format!("stop what listens there (another bridge?) or choose another {}", Setting::Listen.flag());
            Error::halt(format!("cannot listen on {listen}")).with_source(error).with_hint(hint)
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address, token })
    }

    /// The address that was taken; its port is known even if 0 was asked for.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until cancelled, then finishes the requests that are under way.
    pub async fn serve(self, status: Arc<Status>, cancel: CancellationToken) -> Result<()> {
        let router = router(status, self.token);
        let listener = Bounded::new(self.listener, Bounds::USUAL);
        let serving = axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned());
        serving.await.map_err(|error| Error::halt("the HTTP server stopped").with_source(error))
    }
}

fn router(status: Arc<Status>, token: Option<Secret<String>>) -> Router {
    let open = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route(page::STYLE, get(|| async { ([(CONTENT_TYPE, "text/css; charset=utf-8")], page::CSS) }))
        .route(page::SCRIPT, get(|| async { ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], page::REFRESH) }));
    let guarded = Router::new()
        .route("/", get(status_page))
        .route("/runbook", get(|| async { Html(page::runbook()) }))
        .route("/api/status", get(api_status))
        .route("/api/route", get(route::route))
        .route_layer(from_fn_with_state(Arc::new(token), guard));
    open.merge(guarded).layer(map_response(safe)).with_state(status)
}

async fn safe(mut response: Response) -> Response {
    for (name, value) in SAFE {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

async fn guard(State(token): State<Arc<Option<Secret<String>>>>, request: Request, next: Next) -> Response {
    let welcome = token.as_ref().as_ref().is_none_or(|token| presents(request.headers(), token.expose()));
    if welcome {
        return next.run(request).await;
    }
    let refusal = json!({ "error": "a bearer token is required", "fix": "send the content of token_file: Authorization: Bearer …" });
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], Json(refusal)).into_response()
}

fn presents(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
    let given =
        given.and_then(|value| value.split_at_checked(7)).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    given.is_some_and(|(_, given)| same(given, token.as_bytes()))
}

/// Compares in a time that tells nothing about where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |seen, (a, b)| std::hint::black_box(seen | (a ^ b)));
    a.len() == b.len() && difference == 0
}

async fn metrics(State(status): State<Arc<Status>>) -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], status.metrics_text()).into_response()
}

async fn livez(State(status): State<Arc<Status>>) -> Response {
    let stuck = status.stuck(Instant::now());
    probe("stuck", &stuck.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
}

async fn readyz(State(status): State<Arc<Status>>) -> Response {
    probe("reasons", &status.not_ready())
}

fn probe(key: &str, reasons: &[String]) -> Response {
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ok": reasons.is_empty(), key: reasons }))).into_response()
}

async fn api_status(State(status): State<Arc<Status>>) -> Response {
    Json(status.snapshot()).into_response()
}

async fn status_page(State(status): State<Arc<Status>>) -> Response {
    Html(page::render(&status.snapshot(), &status.history())).into_response()
}

#[cfg(test)]
mod safety_tests;
#[cfg(test)]
mod tests;
