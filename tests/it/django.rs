//! Both applications as a real Django serves them, each with the middleware of `deploy/django`: logins, profiles, moves.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use biograph_bridge::sandbox::python_packages;
use mongodb::bson::{Document, doc, oid::ObjectId};
use reqwest::redirect::Policy;
use serde_json::{Value as Json, json};

use crate::bed::{Bed, USERS, holds};

/// How long an answer about a person may be remembered.
const REMEMBERED: Duration = Duration::from_millis(1100);

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn packages() -> PathBuf {
    let requirements = include_str!("django/requirements.txt");
    python_packages("Django 4.2 with psycopg and pymongo (10 MB)", "django-4.2.30-1", requirements).unwrap()
}

fn python(arguments: &[&str]) -> Command {
    let folders = [packages(), here("tests/it/django"), here("deploy/django")];
    let mut command = Command::new("python3");
    command.args(arguments).current_dir(here("tests/it/django")).stdin(Stdio::null());
    command.env("PYTHONPATH", std::env::join_paths(folders).unwrap()).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// One of the two applications. Ended when dropped.
struct Site {
    process: Child,
    port: u16,
    client: reqwest::Client,
}

/// What it answered.
struct Answer {
    status: u16,
    retry_after: Option<String>,
    location: Option<String>,
    body: Json,
}

impl Site {
    fn start(bed: &Bed, project: &str) -> Self {
        Self::start_as(bed, project, &bed.renaissance_url)
    }

    fn start_as(bed: &Bed, project: &str, postgres: &str) -> Self {
        let mut command = python(&["serve.py", project]);
        command.env("TEST_POSTGRES_URL", postgres).env("TEST_MONGO_URI", &bed.legacy_uri);
        let libraries = bed.postgres.bin_dir().with_file_name("lib");
        let libpq = ["libpq.so.5", "libpq.5.dylib"].map(|name| libraries.join(name));
        // a Postgres of the system has it where the system keeps libraries
        command.envs(libpq.iter().find(|file| file.exists()).map(|file| ("TEST_LIBPQ", file)));
        let mut process = command.stdout(Stdio::piped()).spawn().expect("python3 is on PATH");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("{project} does not start: see above"));
        let client = reqwest::Client::builder().redirect(Policy::none()).timeout(Duration::from_secs(30));
        Self { process, port, client: client.build().unwrap() }
    }

    async fn send(&self, path: &str, token: Option<&str>, body: Option<Json>) -> Answer {
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        let request = match body {
            Some(body) => self.client.post(url).body(body.to_string()),
            None => self.client.get(url),
        };
        let request =
            token.iter().fold(request, |request, token| request.header("authorization", format!("Bearer {token}")));
        let response = request.send().await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (retry_after, location) = (header("retry-after"), header("location"));
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {status}: {text}"));
        Answer { status, retry_after, location, body }
    }

    async fn post(&self, path: &str, token: Option<&str>, body: Json) -> Answer {
        self.send(path, token, Some(body)).await
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(path, Some(token), None).await
    }

    /// Logs in; the token.
    async fn log_in(&self, with: Json) -> String {
        let answer = self.post("login", None, with).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // already gone is fine
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Answer {
    fn is_held(&self) -> bool {
        self.status == 503 && self.retry_after.is_some()
    }

    fn is_sent_to(&self, side: &str) -> bool {
        self.status == 303 && self.location.as_deref() == Some(&format!("https://{side}.example/"))
    }
}

impl Bed {
    /// `cutover …` for a person, begun.
    fn move_her(&self, arguments: &[&str], id: ObjectId) -> Child {
        let user = format!("legacy:{id}");
        let mut command = self.command(&[&["cutover"], arguments, &[user.as_str()]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Says where a person is, in both databases, as the bridge does.
    async fn flag(&self, id: ObjectId, row: i64, state: &str, epoch: i64) {
        self.sql(&format!(
            "INSERT INTO biograph_bridge.cutover (legacy_id, renaissance_id, state, epoch) VALUES ('{id}', {row}, '{state}', {epoch}) \
             ON CONFLICT (legacy_id) DO UPDATE SET state = excluded.state, epoch = excluded.epoch"
        ))
        .await;
        let says = doc! { "$set": { "state": state, "epoch": epoch } };
        let mirror = self.legacy.collection::<Document>("biograph_bridge_cutover");
        mirror.update_one(doc! { "_id": id }, says).upsert(true).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_born_in_biograph_moves_and_lives_in_renaissance_through_django() {
    let mut bed = Bed::new().await;
    bed.settings.push(("BRIDGE_CUTOVER_DRAIN", "2s".to_owned()));
    let daemon = bed.start().await;
    let logins = async |wanted: Json| {
        bed.until("the ways to log in", async || {
            let (_, body) = daemon.get("/api/route?email=ada@example.org").await.unwrap();
            serde_json::from_str::<Json>(&body).unwrap()["logins"] == wanted
        })
        .await;
    };
    let id = bed.insert_person("Ada", doc! { "phone_number": "8475550100", "email": "ada@example.org" }).await;
    bed.until_name(id, "Ada").await;
    let (renaissance, biograph) = (Site::start(&bed, "renaissance"), Site::start(&bed, "biograph"));
    assert_eq!(renaissance.get("schema", "").await.body["differences"], json!([]), "the models fit the tables");

    let (by_phone, in_biograph) = (json!({ "phone": "+18475550100" }), json!({ "phone_number": "8475550100" }));
    let by_email = json!({ "email": "ada@example.org", "password": "correct horse" });
    assert!(renaissance.post("login", None, by_phone.clone()).await.is_sent_to("biograph"), "nobody has moved her");
    let old = biograph.log_in(in_biograph.clone()).await;
    assert_eq!(biograph.post("profile", Some(&old), json!({ "name": "Ada Byron" })).await.status, 200);
    bed.until_name(id, "Ada Byron").await;

    let moving = bed.move_her(&["start"], id);
    bed.until("her writes are held", async || {
        biograph.post("profile", Some(&old), json!({ "name": "Ada Byron" })).await.is_held()
    })
    .await;
    assert_eq!(biograph.get("profile", &old).await.body["name"], "Ada Byron", "reading goes on");
    assert!(biograph.post("login", None, in_biograph.clone()).await.is_held());
    assert!(renaissance.post("login", None, by_phone.clone()).await.is_held());

    assert!(moving.wait_with_output().unwrap().status.success(), "{}", bed.log_tail());
    assert!(biograph.post("profile", Some(&old), json!({ "name": "Too late" })).await.is_sent_to("renaissance"));
    assert!(biograph.post("login", None, in_biograph.clone()).await.is_sent_to("renaissance"));
    assert_eq!(
        renaissance.post("login", None, by_email.clone()).await.status,
        401,
        "an unusable password opens nothing"
    );
    logins(json!(["phone_otp"])).await;
    let token = renaissance.log_in(by_phone.clone()).await;
    let changes = json!({ "password": "correct horse", "first_name": "Ada King", "profile_visibility": "friends" });
    assert_eq!(renaissance.post("profile", Some(&token), changes).await.status, 200);
    let token = renaissance.log_in(by_email.clone()).await;
    logins(json!(["phone_otp", "email_jwt"])).await;
    assert_eq!(renaissance.get("profile", &token).await.body["first_name"], "Ada King");
    let shown = |d: &Document| holds(d, "name", "Ada King") && holds(d, "profile_settings", "F");
    bed.until_document(doc! { "_id": id }, shown).await;

    let moving = bed.move_her(&["rollback", "--yes"], id);
    bed.until("her writes are held here", async || {
        renaissance.post("profile", Some(&token), json!({ "first_name": "Ada King" })).await.is_held()
    })
    .await;
    assert!(moving.wait_with_output().unwrap().status.success(), "{}", bed.log_tail());
    assert!(renaissance.post("login", None, by_email).await.is_sent_to("biograph"));
    let old = biograph.log_in(in_biograph).await;
    assert_eq!(biograph.get("profile", &old).await.body["name"], "Ada King", "what she did meanwhile came along");
    tokio::time::sleep(REMEMBERED).await;
    assert!(renaissance.get("profile", &token).await.is_sent_to("biograph"), "reads too, once forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_django_makes_crosses_and_what_the_fence_triggers_refuse_is_answered() {
    let bed = Bed::new().await;
    let done = bed.command(&["init", "--fence-triggers"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let _daemon = bed.start().await;
    let (id, row) = bed.shared_person("Ada").await;
    // the rights that an application has, and those that the README gives it
    bed.sql(
        "CREATE ROLE app LOGIN PASSWORD 'secret'; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app; \
         GRANT USAGE ON SCHEMA biograph_bridge TO app; GRANT SELECT ON biograph_bridge.cutover TO app",
    )
    .await;
    let (_, place) = bed.renaissance_url.split_once('@').unwrap();
    let renaissance = Site::start_as(&bed, "renaissance", &format!("postgres://app:secret@{place}"));

    let told = json!({
        "username": "grace", "email": "grace@example.net", "password": "correct horse", "name": "Grace Hopper", "title": "A bug",
    });
    let answer = renaissance.post("register", None, told).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let document = bed.until_document(doc! { "username": "grace" }, |d| holds(d, "name", "Grace Hopper")).await;
    assert!(holds(&document, "profile_settings", "O"));
    let biographs = bed.legacy.collection::<Document>("biographapp_biographmodel");
    bed.until("the biograph", async || {
        let found = biographs.find_one(doc! { "title": "A bug" }).await.unwrap();
        found.is_some_and(|d| d.get_object_id("user_id").ok() == document.get_object_id("_id").ok())
    })
    .await;
    // born here and never moved: her linked rows stay hers to change
    let token = answer.body["token"].as_str().unwrap();
    assert_eq!(renaissance.post("profile", Some(token), json!({ "first_name": "Grace" })).await.status, 200);
    bed.until_document(doc! { "username": "grace" }, |d| holds(d, "name", "Grace")).await;

    let careless = json!({ "id": row, "bio": "written without asking" });
    assert!(renaissance.post("careless", None, careless.clone()).await.is_sent_to("biograph"));
    bed.flag(id, row, "draining", 1).await;
    assert!(renaissance.post("careless", None, careless.clone()).await.is_held());
    bed.flag(id, row, "renaissance", 2).await;
    assert_eq!(renaissance.post("careless", None, careless).await.body["changed"], 1);
    assert!(bed.legacy.collection::<Document>(USERS).count_documents(doc! {}).await.unwrap() == 2);
}

#[test]
fn the_nginx_example_is_what_nginx_reads() {
    let file = here("deploy/nginx/biograph-bridge.conf");
    let done = python(&["lint_nginx.py", file.to_str().unwrap()]).output().expect("python3 is on PATH");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(String::from_utf8_lossy(&done.stdout), "");
    // each variable is nginx's own or made in the file; what the parser does not know, nginx would refuse to start with
    let text = std::fs::read_to_string(&file).unwrap();
    let text: String = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let nginx = ["host", "scheme", "proxy_add_x_forwarded_for", "cookie_person", "upstream_http_x_bridge_side"];
    for used in
        text.split('$').skip(1).map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap())
    {
        let made = [format!("${used} {{"), format!("auth_request_set ${used} "), format!("(?<{used}>")];
        // the end of a regular expression is a bare dollar sign
        let known = used.is_empty() || nginx.contains(&used) || made.iter().any(|made| text.contains(made));
        assert!(known, "${used} is nowhere made");
    }
}
