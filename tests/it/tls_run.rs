//! The daemon between two servers that both verify it, and that it verifies.

use biograph_bridge::sandbox::MongodOptions;
use mongodb::bson::doc;

use crate::{
    bed::{Bed, holds},
    certificates::{self, Authority, later_and_earlier},
    postgres_tls,
};

#[tokio::test(flavor = "multi_thread")]
async fn with_certificates_on_every_line_changes_cross_both_ways() {
    if !postgres_tls::is_to_be_had() {
        return;
    }
    let folder = certificates::folder();
    let (ours, (later, _)) = (Authority::new(folder.path(), "ca"), later_and_earlier());
    let here = ours.certificate("here", &postgres_tls::HERE, later);
    let bridge = ours.certificate("bridge", &["bridge"], later);
    // the test itself comes without TLS
    let tls = ["--tlsMode", "preferTLS", "--tlsCertificateKeyFile", &here.both.display().to_string(), "--tlsCAFile"];
    let tls = tls.map(str::to_owned).into_iter().chain([ours.file.display().to_string()]);
    let mongod = MongodOptions { arguments: tls.collect(), ..MongodOptions::default() };
    let mut bed = Bed::on(postgres_tls::options(folder.path(), &here, &ours), 1, mongod).await;
    bed.sql("CREATE ROLE bridge SUPERUSER LOGIN PASSWORD 'secret'").await;
    let (_, address) = bed.renaissance_url.split_once('@').unwrap();
    bed.renaissance_url = format!("postgres://bridge:secret@{address}?{}", postgres_tls::query(&ours, Some(&bridge)));
    let (ca, client) = (ours.file.display(), bridge.both.display());
    bed.legacy_uri += &format!("&tls=true&tlsCAFile={ca}&tlsCertificateKeyFile={client}");

    let daemon = bed.start().await;
    let (ada, row) = bed.shared_person("Ada").await;
    bed.sql(&format!("UPDATE users SET first_name = 'Grace' WHERE id = {row}")).await;
    bed.until_document(doc! { "_id": ada }, |person| holds(person, "name", "Grace")).await;
    bed.set(ada, "name", "Ada again").await;
    bed.until_name(ada, "Ada again").await;

    let unproven = "SELECT count(*) FROM pg_stat_activity a LEFT JOIN pg_stat_ssl s USING (pid) \
        WHERE a.usename = 'bridge' AND s.client_dn IS DISTINCT FROM '/CN=bridge'";
    assert_eq!(bed.count(unproven).await, 0);
    assert!(bed.count("SELECT count(*) FROM pg_stat_activity WHERE usename = 'bridge'").await > 1);
    let status = bed.legacy.client().database("admin").run_command(doc! { "serverStatus": 1 }).await.unwrap();
    let encrypted = status.get_document("transportSecurity").unwrap().values().filter_map(|count| count.as_i64());
    assert!(encrypted.sum::<i64>() > 0, "{status}");
    assert_eq!(daemon.stop().await, Some(0));
}
