//! The status page in a real browser, if one is installed: the policy is kept, it fits a phone, and it renews itself.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use biograph_bridge::{
    admin::Admin,
    metrics::EntityLabels,
    model::{
        fact::{DaemonState, Feed, Lag},
        side::{Direction, Side},
    },
    sync::status::Status,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut places =
        std::env::split_paths(&folders).flat_map(|folder| ["chromium", "google-chrome"].map(|name| folder.join(name)));
    places.find(|place| place.exists())
}

/// What a browser makes of an address.
async fn seen(browser: &Path, arguments: &[&str], url: &str) -> (String, String) {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(browser);
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--enable-logging=stderr",
    ]);
    command.arg(format!("--user-data-dir={}", home.path().display())).args(arguments).arg(url);
    let command = tokio::process::Command::from(command).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(60), command).await.expect("the browser ends").unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (out, err)
}

/// A status with an hour behind it.
fn status() -> Arc<Status> {
    let status = Arc::new(Status::new(vec![EntityLabels { name: "user".into(), fields: Vec::new() }]));
    status.state(DaemonState::Streaming);
    let now = Instant::now();
    for side in Side::ALL {
        status.feed(side, Feed::Streaming);
    }
    for tick in (0..350).rev() {
        let lag = if (100..150).contains(&tick) { Lag::Unknown } else { Lag::CaughtUp };
        Direction::ALL.into_iter().for_each(|way| status.lag(way, lag));
        status.sample(now.checked_sub(Duration::from_secs(tick * 10)).unwrap_or(now));
    }
    status
}

/// Passes on what a browser asks; when it asks for the page a second time, the bridge is doing something else.
async fn watched(status: Arc<Status>, admin: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, pages) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    tokio::spawn(async move {
        while let Ok((browser, _)) = listener.accept().await {
            let bridge = TcpStream::connect(admin).await.unwrap();
            let ((mut asking, mut answered), (mut answering, mut asked)) = (browser.into_split(), bridge.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut answering, &mut answered).await });
            let (status, pages) = (Arc::clone(&status), Arc::clone(&pages));
            tokio::spawn(async move {
                let mut part = [0; 4096];
                while let Ok(length @ 1..) = asking.read(&mut part).await {
                    if part.starts_with(b"GET / ") && pages.fetch_add(1, Ordering::SeqCst) == 1 {
                        status.state(DaemonState::Healing);
                    }
                    asked.write_all(&part[..length]).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_the_page_and_keeps_it_fresh() {
    let Some(browser) = browser() else {
        println!("skipped: there is no chromium here");
        return;
    };
    let status = status();
    let admin = Admin::bind(([127, 0, 0, 1], 0).into(), None).await.unwrap();
    let address = watched(Arc::clone(&status), admin.address()).await;
    let cancel = CancellationToken::new();
    tokio::spawn(admin.serve(Arc::clone(&status), cancel.clone()));
    // the browser's clock runs ahead while nothing is to be done
    let arguments = ["--virtual-time-budget=9000", "--dump-dom"];
    let (page, said) = seen(&browser, &arguments, &format!("http://{address}/")).await;
    assert!(page.contains("Lag in the last hour") && page.matches("<polyline").count() == 4, "{page}{said}");
    assert!(page.contains("<strong>healing</strong>"), "the script renews it: {page}{said}");
    assert!(page.contains("id=\"stale\" role=\"alert\" hidden"), "{page}{said}");
    assert!(!said.contains("Content Security Policy") && !said.contains("Uncaught"), "{said}");
    cancel.cancel();
}
