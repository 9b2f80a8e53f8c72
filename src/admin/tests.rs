//! The server over real sockets.

use super::*;
use crate::{
    metrics::EntityLabels,
    model::{
        cutover::CutoverRow,
        directory::Known,
        fact::Feed,
        key::{EntityIndex, LegacyId},
        mapping::{Entity, parse},
        side::Side,
        value::Value,
    },
    sync::status::StatusReport,
};

struct Running {
    status: Arc<Status>,
    address: SocketAddr,
    cancel: CancellationToken,
    serving: tokio::task::JoinHandle<Result<()>>,
}

async fn start(token: Option<&str>) -> Running {
    start_knowing(token, &[]).await
}

async fn start_knowing(token: Option<&str>, entities: &[Entity]) -> Running {
    let status =
        Arc::new(Status::new(vec![EntityLabels { name: "user".into(), fields: Vec::new() }]).knowing(entities));
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
    for path in ["/", "/api/status", "/api/route?phone=1"] {
        assert_eq!(running.get(path, None).await.0, 401);
        assert_eq!(running.get(path, Some("0123456789abcdeX")).await.0, 401);
        assert_eq!(running.get(path, Some("0123456789abcdef0")).await.0, 401);
        assert_ne!(running.get(path, Some("0123456789abcdef")).await.0, 401);
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

/// Two people who share an email, one of them on the way to Renaissance.
fn fill(status: &Status) {
    status.directory().fill(|people| {
        let draining = CutoverRow::UNMOVED.draining(Side::Renaissance).unwrap();
        for (n, phone, row) in [(1, "+18475550100", draining), (2, "+18475550101", CutoverRow::UNMOVED)] {
            let names = [("phone", phone), ("email", "both+us@example.org")];
            people.put(&Known {
                entity: EntityIndex(0),
                legacy: Some(LegacyId::new([n; 12])),
                renaissance: Some(n.into()),
                names: names.map(|(word, text)| people.seal(word, &Value::Text(text.into()))).into(),
                ways: [0b01, 0b11],
                row,
            });
        }
    });
}

#[tokio::test]
async fn a_person_is_found_by_any_spelling_and_nothing_that_was_asked_comes_back() {
    let entity = parse("user.toml", include_str!("../../mappings/user.toml")).unwrap();
    let running = start_knowing(None, std::slice::from_ref(&entity)).await;
    assert_eq!(running.get("/api/route?phone=8475550100", None).await.0, 503, "no daemon is active");
    running.status.directory().begin(1);
    assert_eq!(running.get("/api/route?phone=8475550100", None).await.0, 503, "nobody is known yet");
    fill(&running.status);
    let there = r#"{"epoch":1,"logins":["phone_otp"],"side":"legacy","state":"draining"}"#;
    for query in [
        "phone=%2B1%20(847)%20555-0100",
        "phone=+18475550100",
        "phone=+1+847+555+0100",
        "phone=%2B1+847.555.0100",
        "phone=8475550100",
        "legacy_id=010101010101010101010101",
        "renaissance_id=1",
    ] {
        assert_eq!(running.get(&format!("/api/route?{query}"), None).await, (200, there.to_owned()), "{query}");
    }
    for (query, code) in [
        ("phone=8475550199", 404),
        ("renaissance_id=9", 404),
        ("legacy_id=090909090909090909090909", 404),
        ("email=both%2Bus@example.org", 409),
        ("email=both+us@example.org", 409),
        ("phone=secret", 400),
        ("legacy_id=secret", 400),
        ("renaissance_id=-1", 400),
        ("secret=1", 400),
        ("phone=%ff", 400),
        ("phone", 400),
        ("", 400),
        ("phone=8475550100&email=secret", 400),
        ("phone=8475550100&phone=8475550100", 400),
    ] {
        let (found, body) = running.get(&format!("/api/route?{query}"), None).await;
        assert_eq!((found, body.contains("secret"), body.contains("555")), (code, false, false), "{query}: {body}");
    }
    running.status.let_go();
    assert_eq!(running.get("/api/route?renaissance_id=1", None).await.0, 503, "what it knew may be old");
}

#[tokio::test]
async fn an_answer_has_the_side_in_a_header_and_is_not_stored() {
    let entity = parse("user.toml", include_str!("../../mappings/user.toml")).unwrap();
    let running = start_knowing(None, std::slice::from_ref(&entity)).await;
    fill(&running.status);
    let url = format!("http://{}/api/route?renaissance_id=2", running.address);
    let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    assert_eq!((header("x-bridge-side"), header("cache-control")), (Some("legacy"), Some("no-store")));
}
