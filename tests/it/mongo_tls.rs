//! The way into MongoDB verifies the server and shows itself, as the URI asks: certificates are made here.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use biograph_bridge::{
    error::{Disposition, Error},
    mongo::Legacy,
    sandbox::{Mongod, MongodOptions},
};
use time::OffsetDateTime;

use crate::certificates::{self, Authority, Identity, later_and_earlier};

/// How long the server's certificate lives that expires during the test: mongod starts with no expired one.
const SHORT: Duration = Duration::from_secs(8);

async fn server(authority: &Authority, identity: &Identity) -> Mongod {
    let path = |file: &Path| file.display().to_string();
    let arguments = ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile"].map(str::to_owned).to_vec();
    let more = [path(&identity.both), "--tlsCAFile".to_owned(), path(&authority.file)];
    let arguments = [arguments, more.to_vec()].concat();
    Mongod::standalone(MongodOptions { arguments, ..Default::default() }).await.unwrap()
}

async fn ask(server: &Mongod, query: &str) -> Result<(), Error> {
    let uri = format!("{}&serverSelectionTimeoutMS=1000{query}", server.uri("BioGraphDemo"));
    Legacy::connect(&uri, Arc::default()).await?.ping().await
}

fn refused(answer: Result<(), Error>, what: &str, fix: &str) {
    let error = answer.expect_err(what);
    assert_eq!(error.disposition(), Disposition::Halt, "{what}: {error:?}");
    assert!(error.to_string().contains(what), "{what}: {error}");
    assert!(error.hint().unwrap_or_default().contains(fix), "{fix}: {error:?}");
}

#[tokio::test]
async fn a_mongodb_that_is_not_who_it_should_be_or_that_does_not_know_us_is_refused() {
    let folder = certificates::folder();
    let (ours, stranger) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "stranger"));
    let (later, earlier) = later_and_earlier();
    let bridge = ours.certificate("bridge", &["bridge"], later).both;
    let late = ours.certificate("late", &["bridge"], earlier).both;
    let unknown = stranger.certificate("unknown", &["bridge"], later).both;
    let here = server(&ours, &ours.certificate("here", &["127.0.0.1"], later)).await;
    let elsewhere = server(&ours, &ours.certificate("elsewhere", &["db.example.org"], later)).await;
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let query = |authority: &Authority, client: Option<&Path>| {
        let client = client.map(|file| format!("&tlsCertificateKeyFile={}", file.display())).unwrap_or_default();
        format!("&tls=true&tlsCAFile={}{client}", authority.file.display())
    };
    let good = query(&ours, Some(&bridge));
    ask(&here, &good).await.unwrap();
    let expiring = OffsetDateTime::now_utc() + SHORT;
    let ends = Instant::now() + SHORT;
    let soon = server(&ours, &ours.certificate("soon", &["127.0.0.1"], expiring)).await;
    ask(&soon, &good).await.unwrap();

    refused(ask(&elsewhere, &good).await, "for another host", "subjectAltName");
    refused(ask(&here, &query(&stranger, Some(&bridge))).await, "not trusted here", "tlsCAFile");
    refused(ask(&here, "&tls=true").await, "not trusted here", "tlsCAFile");
    for unusable in [folder.path().join("none.pem"), bridge.with_extension("key"), empty] {
        refused(ask(&here, &query(&ours, Some(&unusable))).await, "TLS files", "readable PEM");
    }
    refused(ask(&here, &query(&ours, Some(&late))).await, "has expired", "tlsCertificateKeyFile");
    // mongod may close the connection of a client it does not accept without a word, as one that stops does: the hint says both
    let clients = [query(&ours, None), query(&ours, Some(&unknown))];
    for silent in clients.into_iter().chain([String::new()]) {
        let error = ask(&here, &silent).await.unwrap_err();
        assert!(error.hint().unwrap_or_default().contains("tlsCertificateKeyFile"), "{silent}: {error:?}");
    }
    tokio::time::sleep((ends + Duration::from_secs(2)).saturating_duration_since(Instant::now())).await;
    refused(ask(&soon, &good).await, "has expired", "net.tls.certificateKeyFile");
}
