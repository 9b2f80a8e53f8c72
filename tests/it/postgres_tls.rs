//! Both ways into Postgres verify the server and show themselves as the URL asks. Needs a Postgres with TLS: a wheel of another
//! build than the usual one, which some systems do not have.

use std::path::Path;

use biograph_bridge::{
    error::{Disposition, Error},
    postgres::{capture::PostgresSource, connect, setup},
    sandbox::{PostgresOptions, ServerChoice, postgres_folder},
    sync::ports::Source,
};

use crate::{
    certificates::{self, Authority, Identity, later_and_earlier},
    postgres_fixture::{Fixture, fixture, user},
};

/// What servers here are called.
pub(crate) const HERE: [&str; 2] = ["localhost", "127.0.0.1"];
/// The superuser comes with a password; `bridge` needs a certificate as well.
const RULES: &str = "host all postgres 127.0.0.1/32 scram-sha-256\nhost all postgres ::1/128 scram-sha-256\n\
    hostssl all bridge 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n";

/// Whether there is a Postgres with TLS for this system.
pub(crate) fn is_to_be_had() -> bool {
    let folder = postgres_folder(&ServerChoice::WithTls);
    if let Err(error) = &folder {
        assert!(!format!("{error:?}").to_ascii_lowercase().contains("hash"), "{error:?}");
        println!("NOTICE: TLS of Postgres not tested: {error}");
    }
    folder.is_ok()
}

/// A server that shows this certificate and asks the role `bridge` for one of an authority.
pub(crate) fn options(folder: &Path, identity: &Identity, clients: &Authority) -> PostgresOptions {
    let rules = folder.join("pg_hba.conf");
    std::fs::write(&rules, RULES).unwrap();
    let settings = [
        ("ssl", Path::new("on")),
        ("ssl_cert_file", &identity.certificate),
        ("ssl_key_file", &identity.key),
        ("ssl_ca_file", &clients.file),
        ("hba_file", &rules),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.display().to_string())).to_vec();
    PostgresOptions { server: ServerChoice::WithTls, settings, ..Default::default() }
}

async fn server(folder: &Path, identity: &Identity, clients: &Authority) -> Fixture {
    fixture(options(folder, identity, clients)).await
}

/// What a URL says that verifies a server of this authority, and shows a certificate.
pub(crate) fn query(authority: &Authority, client: Option<&Identity>) -> String {
    let shown =
        client.map(|client| format!("&sslcert={}&sslkey={}", client.certificate.display(), client.key.display()));
    format!("sslmode=verify-full&sslrootcert={}{}", authority.file.display(), shown.unwrap_or_default())
}

/// Opens both sessions: what the SQL one says, what the replication one says.
async fn both(on: &Fixture, host: &str, query: &str) -> (Result<(), Error>, Result<(), Error>) {
    both_as(&on.url, on, host, query).await
}

/// The same with another login.
async fn both_as(url: &str, on: &Fixture, host: &str, query: &str) -> (Result<(), Error>, Result<(), Error>) {
    let url = format!("{}?{query}", url.replace("127.0.0.1", host));
    let pool = connect::pool(&url).unwrap();
    let encrypted = "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
        WHERE a.application_name = 'biograph-bridge' AND (a.pid = pg_backend_pid() OR a.backend_type = 'walsender')";
    let sql = sqlx::query("SELECT 1").execute(&pool).await.map(drop).map_err(Error::from);
    let source = PostgresSource::new(&url, on.pool.clone(), &user()).unwrap();
    let stream = match source.open(&source.tip().await.unwrap()).await {
        Ok(capture) => {
            if sql.is_ok() && !query.contains("disable") {
                assert!(sqlx::query_scalar::<_, bool>(encrypted).fetch_one(&pool).await.unwrap(), "{query}");
            }
            drop(capture);
            Ok(())
        }
        Err(error) => Err(error),
    };
    (sql, stream)
}

#[tokio::test]
async fn a_server_that_is_not_who_it_should_be_is_refused() {
    if !is_to_be_had() {
        return;
    }
    let folder = certificates::folder();
    let (ours, other) = (Authority::new(folder.path(), "ca"), Authority::new(folder.path(), "stranger"));
    let (later, earlier) = later_and_earlier();
    let here = server(folder.path(), &ours.certificate("here", &HERE, later), &ours).await;
    let elsewhere = server(folder.path(), &ours.certificate("elsewhere", &["db.example.org"], later), &ours).await;
    let expired = server(folder.path(), &ours.certificate("expired", &HERE, earlier), &ours).await;
    let root = |authority: &Authority| format!("sslrootcert={}", authority.file.display());
    let (ca, stranger) = (root(&ours), root(&other));
    for on in [&here, &elsewhere, &expired] {
        setup::init(&on.pool, &user(), false).await.unwrap();
    }
    let good = [
        (&here, "localhost", format!("sslmode=verify-full&{ca}")),
        (&here, "127.0.0.1", format!("sslmode=verify-full&{ca}")),
        (&here, "localhost", format!("sslmode=verify-ca&{ca}")),
        (&elsewhere, "localhost", "sslmode=require".to_owned()),
    ];
    for (on, host, query) in good {
        let (sql, stream) = both(on, host, &query).await;
        sql.unwrap_or_else(|error| panic!("{query}: {error}"));
        stream.unwrap_or_else(|error| panic!("{query}: {error}"));
    }
    // pgwire-replication 0.5.0 does not know today's rustls error for a wrong name and so checks it here too: too strict
    let (sql, stream) = both(&elsewhere, "localhost", &format!("sslmode=verify-ca&{ca}")).await;
    sql.unwrap();
    let hint = stream.unwrap_err();
    assert!(hint.hint().unwrap().contains("verify-ca"), "{hint}");
    let (full, only_ca) = ("sslmode=verify-full", "sslmode=verify-ca");
    let bad = [
        (&elsewhere, "localhost", format!("{full}&{ca}"), "for another host", "subjectAltName"),
        (&elsewhere, "127.0.0.1", format!("{full}&{ca}"), "for another host", "subjectAltName"),
        (&here, "localhost", format!("{full}&{stranger}"), "not trusted here", "sslrootcert"),
        (&here, "localhost", format!("{only_ca}&{stranger}"), "not trusted here", "sslrootcert"),
        (&here, "localhost", full.to_owned(), "not trusted here", "sslrootcert"),
        (&expired, "localhost", format!("{full}&{ca}"), "has expired", "ssl_cert_file"),
        (&expired, "localhost", format!("{only_ca}&{ca}"), "has expired", "ssl_cert_file"),
    ];
    for (on, host, query, what, fix) in bad {
        let (sql, stream) = both(on, host, &query).await;
        for error in [sql.expect_err(&query), stream.expect_err(&query)] {
            assert_eq!(error.disposition(), Disposition::Halt, "{query}: {error}");
            assert!(error.to_string().contains(what), "{query}: {error}");
            assert!(error.hint().unwrap_or_default().contains(fix), "{query}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_by_both_sessions_and_a_bad_one_is_refused() {
    if !is_to_be_had() {
        return;
    }
    let folder = certificates::folder();
    let (ours, stranger) = (Authority::new(folder.path(), "ca"), Authority::new(folder.path(), "stranger"));
    let (later, earlier) = later_and_earlier();
    let on = server(folder.path(), &ours.certificate("here", &HERE, later), &ours).await;
    on.sql("CREATE ROLE bridge SUPERUSER LOGIN PASSWORD 'secret'").await;
    setup::init(&on.pool, &user(), false).await.unwrap();
    let (_, address) = on.url.split_once('@').unwrap();
    let url = format!("postgres://bridge:secret@{address}");
    let ask = async |client: Option<&Identity>| both_as(&url, &on, "127.0.0.1", &query(&ours, client)).await;

    let (sql, stream) = ask(Some(&ours.certificate("bridge", &["bridge"], later))).await;
    sql.unwrap();
    stream.unwrap();
    let bad = [
        ("missing", None),
        ("expired", Some(ours.certificate("late", &["bridge"], earlier))),
        ("unknown", Some(stranger.certificate("unknown", &["bridge"], later))),
    ];
    for (what, client) in bad {
        let (sql, stream) = ask(client.as_ref()).await;
        for error in [sql.expect_err(what), stream.expect_err(what)] {
            assert_eq!(error.disposition(), Disposition::Halt, "{what}: {error:?}");
            assert!(error.hint().unwrap_or_default().contains("sslcert"), "{what}: {error:?}");
        }
    }
    let error = connect::pool(&format!("{url}?sslmode=require&sslcert=/none.crt&sslkey=/none.key")).unwrap_err();
    assert_eq!(error.disposition(), Disposition::Halt, "{error:?}");
    assert!(error.to_string().contains("sslcert") && error.to_string().contains("/none.crt"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_asked_for() {
    // the pinned wheel is built without it
    let on = fixture(Default::default()).await;
    setup::init(&on.pool, &user(), false).await.unwrap();
    let (sql, stream) = both(&on, "127.0.0.1", "sslmode=require").await;
    assert_eq!(sql.unwrap_err().disposition(), Disposition::Halt);
    assert_eq!(stream.unwrap_err().disposition(), Disposition::Halt);
    let (sql, stream) = both(&on, "127.0.0.1", "sslmode=disable").await;
    sql.unwrap();
    stream.unwrap();
}
