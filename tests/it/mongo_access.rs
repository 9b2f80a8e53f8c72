//! MongoDB with access control on.

use std::{
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    time::{Duration, Instant},
};

use biograph_bridge::sandbox::{MongodOptions, PostgresOptions, PostgresServer, ReplicaSet};
use mongodb::{
    Client,
    bson::{Bson, Document, doc},
};
use sqlx::Row;

use crate::{
    bed::{Bed, Daemon, holds},
    certificates,
    cutover::user,
    proxy::Proxy,
};

const SETTINGS: &str = "/BioGraphDemo?authSource=admin&directConnection=true";

/// What `deploy/rights.js` gives the bridge's user.
fn roles() -> Vec<Bson> {
    let file = include_str!("../../deploy/rights.js");
    let quoted = |line: &str, key: &str| {
        let (_, rest) = line.split_once(&format!("{key}: \""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let roles = file.lines().filter_map(|line| Some(doc! { "role": quoted(line, "role")?, "db": quoted(line, "db")? }));
    let roles: Vec<Bson> = roles.map(Bson::from).collect();
    assert_eq!(roles.len(), 2, "each of them is understood");
    roles
}

impl Bed {
    /// A bed whose MongoDB lets in who has a password; the bridge comes as `bridge` with `first`, through a proxy.
    async fn with_access_control(folder: &Path) -> (Self, Proxy) {
        let key = folder.join("members.key");
        std::fs::write(&key, "ofMembersAmongThemselves").unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        if nix::unistd::Uid::effective().is_root() {
            // as whom the sandbox runs mongod
            chown(&key, Some(65534), Some(65534)).unwrap();
        }
        let arguments = vec!["--keyFile".to_owned(), key.display().to_string()];
        let mongod = MongodOptions { arguments, ..MongodOptions::default() };
        let postgres = PostgresServer::start(PostgresOptions::default());
        let (postgres, mongo) = tokio::join!(postgres, ReplicaSet::start(1, mongod));
        let (postgres, mongo) = (postgres.unwrap(), mongo.unwrap());
        // the first user may be made by whoever is on the machine
        let first = Client::with_uri_str(mongo.members()[0].uri("admin")).await.unwrap().database("admin");
        first.run_command(doc! { "createUser": "root", "pwd": "root", "roles": ["root"] }).await.unwrap();
        let address = mongo.members()[0].address();
        let mut bed = Self::between(postgres, mongo, format!("mongodb://root:root@{address}{SETTINGS}")).await;
        bed.user(doc! { "createUser": "bridge", "pwd": "first", "roles": roles() }).await;
        let proxy = Proxy::to(bed.mongo.members()[0].port()).await;
        bed.legacy_uri = format!("mongodb://bridge:first@127.0.0.1:{}{SETTINGS}", proxy.port());
        (bed, proxy)
    }

    async fn user(&self, command: Document) {
        self.legacy.client().database("admin").run_command(command).await.unwrap();
    }

    /// What a command says, and whether it succeeds.
    fn told(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.success(), text.concat())
    }

    async fn both_ways(&self, daemon: &Daemon) {
        let (ada, row) = self.shared_person("Ada").await;
        self.sql(&format!("UPDATE users SET first_name = 'Grace' WHERE id = {row}")).await;
        self.until_document(doc! { "_id": ada }, |person| holds(person, "name", "Grace")).await;
        let (code, moved) = self.cutover(&["start", &user(ada)]);
        assert_eq!(code, 0, "{moved}");
        let (code, back) = self.cutover(&["rollback", &user(ada), "--yes"]);
        assert_eq!(code, 0, "{back}");
        self.until_settled(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_lives_with_the_role_in_deploy_and_check_names_what_it_lacks() {
    let folder = certificates::folder();
    let (mut bed, _proxy) = Bed::with_access_control(folder.path()).await;
    bed.settings.push(("BRIDGE_CUTOVER_DRAIN", "100ms".to_owned()));
    let barbara = bed.insert_person("Barbara", doc! {}).await;
    for arguments in [&["init"][..], &["check"]] {
        let (good, said) = bed.told(arguments);
        assert!(good, "{arguments:?}: {said}");
    }
    let daemon = bed.start().await;
    let row: i64 = bed.until_name(barbara, "Barbara").await.get("id");
    bed.both_ways(&daemon).await;
    assert_eq!(daemon.stop().await, Some(0));

    // a run that dies in a transaction, and another that ends it: by itself the server would wait for a minute
    bed.settings.push(("BRIDGE_CRASH_AT", "before committing the documents".to_owned()));
    let dying = bed.spawn();
    bed.sql(&format!("UPDATE users SET first_name = 'Liskov' WHERE id = {row}")).await;
    assert!(dying.end().await.is_some(), "a drill ends it");
    bed.settings.pop();
    let started = Instant::now();
    let daemon = bed.start().await;
    bed.until_document(doc! { "_id": barbara }, |person| holds(person, "name", "Liskov")).await;
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    bed.both_ways(&daemon).await;
    let (good, said) = bed.told(&["verify"]);
    assert!(good, "{said}");
    assert_eq!(daemon.stop().await, Some(0));

    let reads = doc! { "role": "read", "db": "BioGraphDemo" };
    bed.user(doc! { "updateUser": "bridge", "roles": [reads] }).await;
    let (good, said) = bed.told(&["check"]);
    assert!(!good && said.contains("insert, update, remove not granted"), "{said}");
    assert!(said.contains("grantRolesToUser") && said.contains("clusterMonitor"), "{said}");

    bed.user(doc! { "updateUser": "bridge", "roles": roles() }).await;
    let (good, said) = bed.told(&["teardown", "--yes"]);
    assert!(good, "{said}");
    let left = bed.legacy.list_collection_names().await.unwrap();
    assert!(!left.iter().any(|name| name.starts_with("biograph_bridge")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_of_mongodb_is_replaced_without_a_restart() {
    let folder = certificates::folder();
    let (mut bed, proxy) = Bed::with_access_control(folder.path()).await;
    let (settings, password) = (folder.path().join("bridge.toml"), folder.path().join("password"));
    let address = format!("127.0.0.1:{}{SETTINGS}", proxy.port());
    std::fs::write(&settings, format!("legacy_uri = \"mongodb://bridge:${{file:password}}@{address}\"\n")).unwrap();
    std::fs::write(&password, "first\n").unwrap();
    bed.settings.push(("BRIDGE_LEGACY_URI", String::new()));
    bed.settings.push(("BRIDGE_CONFIG", settings.display().to_string()));
    let daemon = bed.start().await;
    let (ada, row) = bed.shared_person("Ada").await;

    bed.user(doc! { "updateUser": "bridge", "pwd": "second" }).await;
    proxy.cut();
    bed.until("it says that the login is refused", async || bed.log_all().contains("refuses the bridge's login")).await;
    bed.until("it is not ready", async || daemon.get("/readyz").await.is_some_and(|(code, _)| code == 503)).await;
    bed.sql(&format!("UPDATE users SET first_name = 'Grace' WHERE id = {row}")).await;
    std::fs::write(&password, "second\n").unwrap();
    bed.until_document(doc! { "_id": ada }, |person| holds(person, "name", "Grace")).await;
    bed.set(ada, "name", "Ada again").await;
    bed.until_name(ada, "Ada again").await;
    assert!(!["first", "second"].iter().any(|secret| bed.log_all().contains(&format!(":{secret}@"))));
    assert_eq!(daemon.stop().await, Some(0));
}
