//! The server over real sockets.

use super::*;
use crate::{
    metrics::EntityLabels,
    model::{fact::Feed, side::Side},
    sync::status::StatusReport,
};

struct Running {
    status: Arc<Status>,
    address: SocketAddr,
    cancel: CancellationToken,
    serving: tokio::task::JoinHandle<Result<()>>,
}

async fn start(token: Option<&str>) -> Running {
    let status = Arc::new(Status::new(vec![EntityLabels { name: "user".into(), fields: Vec::new() }]));
    let token = token.map(|token| Secret::new(token.to_owned()));
    let admin = Admin::bind(SocketAddr::from(([127, 0, 0, 1], 0)), token).await.unwrap();
    let (address, cancel) = (admin.address(), CancellationToken::new());
    let serving = tokio::spawn(admin.serve(Arc::clone(&status), cancel.clone()));
    Running { status, address, cancel, serving }
}

impl Running {
    async fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.get(format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

#[tokio::test]
async fn ready_only_when_both_sides_stream() {
    let running = start(None).await;
    let (code, body) = running.get("/readyz", None).await;
    assert_eq!((code, body.contains("legacy is not connected")), (503, true), "{body}");
    for side in Side::ALL {
        running.status.feed(side, Feed::Streaming);
    }
    assert_eq!(running.get("/readyz", None).await.0, 200);
    assert_eq!(running.get("/livez", None).await, (200, "{\"ok\":true,\"stuck\":[]}".to_owned()));
}

#[tokio::test]
async fn metrics_status_and_page_are_served() {
    let running = start(None).await;
    let (code, body) = running.get("/metrics", None).await;
    assert!(code == 200 && body.contains("biograph_bridge_state{state=\"starting\"} 1\n"));
    let (_, body) = running.get("/api/status", None).await;
    assert_eq!(serde_json::from_str::<StatusReport>(&body).unwrap().state, "starting");
    assert!(running.get("/", None).await.1.starts_with("<!doctype html>"));
    assert_eq!(running.get("/elsewhere", None).await.0, 404);
}

#[tokio::test]
async fn a_token_is_asked_for_where_people_could_be_seen() {
    let running = start(Some("0123456789abcdef")).await;
    for path in ["/", "/api/status"] {
        assert_eq!(running.get(path, None).await.0, 401);
        assert_eq!(running.get(path, Some("0123456789abcdeX")).await.0, 401);
        assert_eq!(running.get(path, Some("0123456789abcdef0")).await.0, 401);
        assert_eq!(running.get(path, Some("0123456789abcdef")).await.0, 200);
    }
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_ne!(running.get(path, None).await.0, 401);
    }
}

#[tokio::test]
async fn cancelling_ends_the_server_although_a_connection_is_open() {
    let running = start(None).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let kept_alive = client.get(format!("http://{}/livez", running.address)).send().await.unwrap();
    assert_eq!(kept_alive.status().as_u16(), 200);
    running.cancel.cancel();
    tokio::time::timeout(std::time::Duration::from_secs(5), running.serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_named_with_what_to_do() {
    let running = start(None).await;
    let error = Admin::bind(running.address, None).await.err().unwrap();
    assert!(error.to_string().contains(&running.address.to_string()) && error.hint().unwrap().contains("--listen"));
}
