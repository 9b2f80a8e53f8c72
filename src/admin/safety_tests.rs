//! What those who ask wrongly, slowly or much get, over raw sockets.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{connection::Bounds, *};
use crate::metrics::EntityLabels;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Bounds =
    Bounds { connections: 2, request: 1024, asking: Duration::from_millis(400), answered: Duration::from_millis(800) };

async fn serve(bounds: Bounds) -> SocketAddr {
    let status = Arc::new(Status::new(vec![EntityLabels { name: "user".into(), fields: Vec::new() }]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(Bounded::new(listener, bounds), router(status, None)).into_future());
    address
}

/// Everything that comes back until the other side ends it.
async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    // one that is reset has ended as well
    while let Ok(length @ 1..) = timeout(LONG, stream.read(&mut part)).await.expect("the connection ends") {
        answer.extend_from_slice(&part[..length]);
    }
    String::from_utf8(answer).unwrap()
}

fn code(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("cut")
}

#[tokio::test]
async fn nothing_can_be_changed_and_nothing_that_was_asked_comes_back() {
    let address = serve(Bounds::USUAL).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "SECRET"] {
        for path in ["/", "/metrics", "/livez", "/readyz", "/api/status", "/api/route?phone=secret", "/runbook"] {
            let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            assert_eq!(code(&ask(address, request.as_bytes()).await), "405", "{method} {path}");
        }
    }
    for path in ["/<secret>", "/api/route?secret=<secret>", "/api", "/api/route/", "/people", "/../etc/passwd"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: secret\r\nx-secret: secret\r\nconnection: close\r\n\r\n");
        let answer = ask(address, request.as_bytes()).await;
        assert!(["404", "400"].contains(&code(&answer)) && !answer.contains("secret"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let address = serve(Bounds::USUAL).await;
    for path in ["/", "/metrics", "/livez", "/api/status", "/api/route?x=1", "/runbook", "/page.css", "/nowhere"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = ask(address, request.as_bytes()).await.to_lowercase();
        for header in [
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self';",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(answer.contains(header), "{path}: {header}: {answer:.400}");
        }
        assert!(!answer.contains("\r\nserver:"), "{path}");
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused() {
    let address = serve(SHORT).await;
    let header = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(2000));
    assert_eq!(code(&ask(address, header.as_bytes()).await), "431");
    let path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(2000));
    assert_eq!(code(&ask(address, path.as_bytes()).await), "431");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n").await.unwrap();
    let flood = async { while stream.write_all(&[b'y'; 4096]).await.is_ok() {} };
    timeout(LONG, flood).await.expect("nobody reads a body for ever");
}

#[tokio::test]
async fn who_sends_a_byte_now_and_then_is_cut_and_so_is_who_sends_nothing() {
    let address = serve(SHORT).await;
    let started = Instant::now();
    let mut slow = TcpStream::connect(address).await.unwrap();
    let drip = async {
        for byte in b"GET /livez HTTP/1.1\r\nhost: x\r\nx: ".iter().chain(std::iter::repeat(&b'y')) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    };
    timeout(LONG, drip).await.expect("it is cut");
    assert!(started.elapsed() >= SHORT.asking && started.elapsed() < Duration::from_secs(3));
    assert_eq!(ask(address, b"").await, "");
    assert_eq!(code(&ask(address, b"GET /livez HTT").await), "408");
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_not_for_ever() {
    let address = serve(SHORT).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let started = Instant::now();
    for _ in 0..4 {
        // longer in all than one request may take
        tokio::time::sleep(SHORT.asking / 2).await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut part = [0; 4096];
        let length = timeout(LONG, stream.read(&mut part)).await.unwrap().unwrap();
        assert!(part[..length].starts_with(b"HTTP/1.1 200"));
    }
    assert!(started.elapsed() > SHORT.asking);
    assert_eq!(rest(&mut stream).await, "", "and then it ends");
}

#[tokio::test]
async fn whoever_holds_every_connection_keeps_others_waiting_for_a_while_only() {
    let address = serve(SHORT).await;
    let held = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    let started = Instant::now();
    let answer = ask(address, b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(code(&answer), "200");
    assert!(started.elapsed() >= SHORT.asking / 2, "the third waits");
    drop(held);
}
