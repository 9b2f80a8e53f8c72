//! From a connection URL to the two ways in: a pool of SQL sessions and a replication session, with the same server,
//! login and TLS. Understands what libpq's URLs can say about those; no error and no log line holds a credential.

use std::{borrow::Cow, env, str::FromStr, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use pgwire_replication::{ReplicationConfig, SslMode, TlsConfig};
use sqlx::{
    ConnectOptions, Connection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

use crate::error::{Error, Result};

/// Shown in `pg_stat_activity` and `pg_replication_slots`' walsender.
pub const APPLICATION_NAME: &str = "biograph-bridge";
/// Enough for the reconciler, the sweeps and the HTTP side together.
const POOL_SIZE: u32 = 8;
/// How long a caller waits for a session before it hears "try again".
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);
/// A session idle for longer is asked whether it still lives before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// A row held longer than this by somebody else goes back to the queue.
const LOCK_LIMIT: &str = "5s";
/// A transaction of ours that nobody drives must not hold locks.
const IDLE_TRANSACTION_LIMIT: &str = "60s";
/// How often the confirmed position is told to the server.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Pinned, so that the silence after which a replication session counts as dead is known.
pub const WAL_SENDER_TIMEOUT: Duration = Duration::from_secs(60);
/// Events between the socket and the capture. Few, as each is a whole row where the server has no column lists.
const BUFFERED_EVENTS: usize = 128;

const PARAMETERS: &str = "sslmode, sslrootcert, sslcert, sslkey, host, port, user, password, dbname and options";
const URL_FORM: &str = "write it as postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full";

/// A pool of SQL sessions. Connects when first used; a server that is down is a retry error then. A TLS file that cannot be read is
/// a halt error now.
pub fn pool(url: &str) -> Result<PgPool> {
    Target::parse(url)?.read_tls_files()?;
    let options = PgPoolOptions::new()
        .max_connections(POOL_SIZE)
        .acquire_timeout(ACQUIRE_LIMIT)
        .test_before_acquire(false)
        .before_acquire(|session, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_IDLE {
                    session.ping().await?;
                }
                Ok(true)
            })
        });
    Ok(options.connect_lazy_with(connect_options(url)?))
}

/// A pool of SQL sessions that cannot write.
pub fn reading_pool(url: &str) -> Result<PgPool> {
    let options = connect_options(url)?.options([("default_transaction_read_only", "on")]);
    Ok(PgPoolOptions::new().max_connections(POOL_SIZE).acquire_timeout(ACQUIRE_LIMIT).connect_lazy_with(options))
}

/// Whether the server answers.
pub async fn ping(pool: &PgPool) -> Result<()> {
    pool.acquire().await?.ping().await?;
    Ok(())
}

/// How to open one SQL session.
pub fn connect_options(url: &str) -> Result<PgConnectOptions> {
    Target::parse(url)?.sql()
}

/// How to open the replication session on the same server.
pub fn replication_config(url: &str, slot: &str, publication: &str) -> Result<ReplicationConfig> {
    let target = Target::parse(url)?;
    let sql = target.sql()?;
    let database = sql.get_database().unwrap_or_else(|| sql.get_username()).to_owned();
    let password = target.password.unwrap_or_else(|| password_of(sql.clone()));
    let mut config = ReplicationConfig::new(target.host, sql.get_username(), password, database, slot, publication)
        .with_port(target.port)
        .with_tls(target.tls)
        .with_status_interval(STATUS_INTERVAL)
        .with_wakeup_interval(STATUS_INTERVAL)
        .with_buffer_size(BUFFERED_EVENTS)
        .with_application_name(APPLICATION_NAME);
    let limit = WAL_SENDER_TIMEOUT.as_secs();
    let pinned = format!("-c wal_sender_timeout={limit}s -c statement_timeout=0 -c lock_timeout=0");
    config.options = Some(target.options.map_or(pinned.clone(), |more| format!("{more} {pinned}")));
    Ok(config)
}

/// sqlx resolves PGPASSWORD and the password file; its URL form is the only way to ask it what it found. That form
/// panics on unusual names, so those are left out of it.
fn password_of(options: PgConnectOptions) -> String {
    let url = options.username("x").host("x").database("x").to_url_lossy();
    percent_decode_str(url.password().unwrap_or_default()).decode_utf8_lossy().into_owned()
}

/// A parsed URL. No `Debug`: it holds a password.
struct Target {
    host: String,
    port: u16,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    tls: TlsConfig,
    options: Option<String>,
}

impl Target {
    fn parse(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")).ok_or_else(|| {
            Error::halt("the Renaissance URL does not start with postgres:// or postgresql://").with_hint(URL_FORM)
        })?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        // a raw '@' or '/' in a password is common, so the last '@' ends it
        let (login, address) = address.rsplit_once('@').map_or((None, address), |(login, rest)| (Some(login), rest));
        let (hosts, database) = address.split_once('/').unwrap_or((address, ""));
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            Some((user, password)) => (text(user)?, text(password)?),
            None => (None, None),
        };
        let (host, port) = host_and_port(hosts)?;
        let mut target = Self {
            host: host.unwrap_or_default(),
            port: port.unwrap_or(5432),
            user,
            password,
            database: text(database)?,
            tls: TlsConfig::disabled(),
            options: None,
        };
        let mut sslmode = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            target.set(key, decoded(value)?.into_owned(), &mut sslmode)?;
        }
        if target.host.is_empty() {
            target.host = "localhost".to_owned();
        }
        target.settle_tls(sslmode.as_deref())?;
        Ok(target)
    }

    fn set(&mut self, key: &str, value: String, sslmode: &mut Option<String>) -> Result<()> {
        match key {
            "sslmode" => *sslmode = Some(value),
            "sslrootcert" if value == "system" => self.tls.ca_pem_path = None,
            "sslrootcert" => self.tls.ca_pem_path = Some(value.into()),
            "sslcert" => self.tls.client_cert_pem_path = Some(value.into()),
            "sslkey" => self.tls.client_key_pem_path = Some(value.into()),
            "host" | "hostaddr" => self.host = value,
            "port" => self.port = port_number(&value)?,
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "dbname" => self.database = Some(value),
            "options" => self.options = Some(value),
            // providers put these into the URLs they hand out; none changes where or as whom we connect
            "application_name"
            | "channel_binding"
            | "connect_timeout"
            | "gssencmode"
            | "keepalives"
            | "keepalives_idle"
            | "keepalives_interval"
            | "keepalives_count"
            | "target_session_attrs" => {}
            other => {
                // what is no word may be the rest of a password with a '?' in it
                let word = !other.is_empty() && other.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
                let shown = if word { format!("parameter {other:?}") } else { "part after '?'".to_owned() };
                return Err(Error::halt(format!("the {shown} of the Renaissance URL is not supported"))
                    .with_hint(format!("known are {PARAMETERS}; a '?' in a password is written %3F")));
            }
        }
        Ok(())
    }

    fn settle_tls(&mut self, sslmode: Option<&str>) -> Result<()> {
        let socket = self.host.starts_with('/');
        self.tls.mode = match sslmode {
            // libpq ignores sslmode on a socket as well
            _ if socket => SslMode::Disable,
            None if is_loopback(&self.host) => SslMode::Prefer,
            None | Some("verify-full") => SslMode::VerifyFull,
            Some("disable" | "allow") => SslMode::Disable,
            Some("prefer") => SslMode::Prefer,
            Some("require") => SslMode::Require,
            Some("verify-ca") => SslMode::VerifyCa,
            Some(other) => {
                return Err(Error::halt(format!("sslmode {other:?} in the Renaissance URL is unknown"))
                    .with_hint("use disable, prefer, require, verify-ca or verify-full"));
            }
        };
        // sqlx falls back to these by itself; both sessions must agree
        let variable = |name| env::var_os(name).map(Into::into);
        let tls = &mut self.tls;
        tls.ca_pem_path = tls.ca_pem_path.take().or_else(|| variable("PGSSLROOTCERT"));
        tls.client_cert_pem_path = tls.client_cert_pem_path.take().or_else(|| variable("PGSSLCERT"));
        tls.client_key_pem_path = tls.client_key_pem_path.take().or_else(|| variable("PGSSLKEY"));
        // pgwire-replication refuses an address in verify-full unless it is named as the certificate's subject
        tls.sni_hostname = self.host.parse::<std::net::IpAddr>().is_ok().then(|| self.host.clone());
        Ok(())
    }

    /// The drivers take a missing file for a missing server.
    fn read_tls_files(&self) -> Result<()> {
        let TlsConfig { ca_pem_path, client_cert_pem_path, client_key_pem_path, .. } = &self.tls;
        let files = [("sslrootcert", ca_pem_path), ("sslcert", client_cert_pem_path), ("sslkey", client_key_pem_path)];
        for (name, path) in files.into_iter().filter(|_| self.tls.mode != SslMode::Disable) {
            let Some(path) = path else { continue };
            std::fs::File::open(path).map_err(|error| {
                let place = format!("{name} of the Renaissance URL: {} cannot be read", path.display());
                Error::halt(place).with_source(error).with_hint("give the path of a PEM file that the daemon may read")
            })?;
        }
        Ok(())
    }

    fn sql(&self) -> Result<PgConnectOptions> {
        let mut options = PgConnectOptions::from_str(&self.bare_url()).map_err(|_| malformed("the host or port"))?;
        options = if self.host.starts_with('/') { options.socket(&self.host) } else { options.host(&self.host) };
        if let Some(database) = &self.database {
            // a URL parser takes a name of dots for a relative path
            options = options.database(database);
        }
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        if let Some(path) = &self.tls.ca_pem_path {
            options = options.ssl_root_cert(path);
        }
        if let Some(path) = &self.tls.client_cert_pem_path {
            options = options.ssl_client_cert(path);
        }
        if let Some(path) = &self.tls.client_key_pem_path {
            options = options.ssl_client_key(path);
        }
        // sqlx pins TimeZone, DateStyle and client_encoding in the startup packet, which comes after these
        let settings = [
            ("lock_timeout", LOCK_LIMIT),
            ("idle_in_transaction_session_timeout", IDLE_TRANSACTION_LIMIT),
            // A plan made for the thousand keys of one batch scans and hashes whole tables, and so does one made while a
            // table is empty. Looking every key up in an index costs a batch the same whatever the size of the tables.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("jit", "off"),
        ];
        Ok(options.options(settings).application_name(APPLICATION_NAME).ssl_mode(match self.tls.mode {
            SslMode::Disable => PgSslMode::Disable,
            SslMode::Prefer => PgSslMode::Prefer,
            SslMode::Require => PgSslMode::Require,
            SslMode::VerifyCa => PgSslMode::VerifyCa,
            SslMode::VerifyFull => PgSslMode::VerifyFull,
        }))
    }

    /// Without the password, because only this path of sqlx looks into the password file.
    fn bare_url(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let login = self.user.as_deref().map(|user| format!("{}@", encode(user))).unwrap_or_default();
        let database = self.database.as_deref().map(encode).unwrap_or_default();
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.replace('/', "%2F") };
        let options = self.options.as_deref().map(|more| format!("?options={}", encode(more))).unwrap_or_default();
        format!("postgres://{login}{host}:{}/{database}{options}", self.port)
    }
}

fn malformed(part: &str) -> Error {
    Error::halt(format!("{part} of the Renaissance URL cannot be read")).with_hint(URL_FORM)
}

fn decoded(text: &str) -> Result<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().map_err(|_| malformed("a percent-encoded part"))
}

fn text(encoded: &str) -> Result<Option<String>> {
    Ok(Some(decoded(encoded)?.into_owned()).filter(|text| !text.is_empty()))
}

fn port_number(text: &str) -> Result<u16> {
    text.parse().map_err(|_| malformed("the port"))
}

fn host_and_port(hosts: &str) -> Result<(Option<String>, Option<u16>)> {
    if hosts.contains(',') {
        return Err(Error::halt("the Renaissance URL names several hosts")
            .with_hint("name one: the primary, or an address that follows it"));
    }
    let (host, port) = match hosts.strip_prefix('[') {
        Some(bracketed) => {
            let (address, rest) = bracketed.split_once(']').ok_or_else(|| malformed("the host"))?;
            (address, rest.strip_prefix(':'))
        }
        None => hosts.split_once(':').map_or((hosts, None), |(host, port)| (host, Some(port))),
    };
    let port = port.filter(|port| !port.is_empty()).map(port_number).transpose()?;
    Ok((text(host)?, port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replication(url: &str) -> ReplicationConfig {
        replication_config(url, "slot", "publication").unwrap()
    }

    fn refused(url: &str) -> String {
        let error = replication_config(url, "slot", "publication").unwrap_err();
        assert_eq!(error.disposition(), crate::error::Disposition::Halt);
        format!("{error} {}", error.hint().unwrap_or_default())
    }

    #[test]
    fn both_sessions_go_to_the_same_place_as_the_same_role() {
        let url = "postgresql://br%40idge:p%2Fw:d%3F@db.example.org:6543/rena%20issance?sslmode=verify-ca&sslrootcert=/ca.pem";
        let (sql, stream) = (connect_options(url).unwrap(), replication(url));
        assert_eq!((sql.get_host(), sql.get_port(), sql.get_username()), ("db.example.org", 6543, "br@idge"));
        assert_eq!(sql.get_database(), Some("rena issance"));
        assert_eq!((stream.host.as_str(), stream.port, stream.user.as_str()), ("db.example.org", 6543, "br@idge"));
        assert_eq!((stream.password.as_str(), stream.database.as_str()), ("p/w:d?", "rena issance"));
        assert_eq!((stream.tls.mode, stream.tls.ca_pem_path), (SslMode::VerifyCa, Some("/ca.pem".into())));
        assert!(matches!(sql.get_ssl_mode(), PgSslMode::VerifyCa));
    }

    #[test]
    fn a_remote_server_is_verified_unless_the_url_says_otherwise() {
        let mode = |url: &str| replication(url).tls.mode;
        assert_eq!(mode("postgres://b:s@db.example.org/app"), SslMode::VerifyFull);
        assert_eq!(mode("postgres://b:s@10.0.0.7/app"), SslMode::VerifyFull);
        assert_eq!(mode("postgres://b:s@db.example.org/app?sslmode=require&channel_binding=require"), SslMode::Require);
        assert_eq!(mode("postgres://b:s@127.0.0.1/app"), SslMode::Prefer);
        assert_eq!(mode("postgres://b:s@[::1]:5433/app"), SslMode::Prefer);
        assert_eq!(mode("postgres://b:s@localhost/app?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres:///app?host=/run/postgresql&user=b&sslmode=require"), SslMode::Disable);
    }

    #[test]
    fn a_socket_folder_is_a_host() {
        for url in ["postgres://b@%2Frun%2Fpostgresql:5433/app", "postgres://b@/app?host=/run/postgresql&port=5433"] {
            let stream = replication(url);
            assert_eq!(stream.unix_socket_path().to_str(), Some("/run/postgresql/.s.PGSQL.5433"));
            let sql = connect_options(url).unwrap();
            assert_eq!(sql.get_socket().and_then(|path| path.to_str()), Some("/run/postgresql"));
            assert_eq!(sql.get_port(), 5433);
        }
    }

    #[test]
    fn what_cannot_be_understood_is_refused_without_its_secret() {
        for url in [
            "mysql://bridge:hunter2@db/app",
            "bridge:hunter2@db/app",
            "postgres://bridge:hunter2@db:54x/app",
            "postgres://bridge:hunter2@a:1,b:2/app",
            "postgres://bridge:hunter2@db/app?sslmode=maybe",
            "postgres://bridge:hunter2@db/app?sslmaod=require",
            "postgres://bridge:%ff@hunter2/app",
            "postgres://bridge:abc?hunter2@db/app",
        ] {
            assert!(!refused(url).contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn the_session_settings_are_pinned() {
        let options = connect_options("postgres://b:s@localhost/app?options=-c%20work_mem%3D8MB").unwrap();
        let text = options.get_options().unwrap();
        assert!(text.contains("work_mem=8MB") && text.contains("lock_timeout=5s"), "{text}");
        let stream = replication("postgres://b:s@localhost/app?options=-c%20work_mem%3D8MB");
        assert_eq!(
            stream.options.unwrap(),
            "-c work_mem=8MB -c wal_sender_timeout=60s -c statement_timeout=0 -c lock_timeout=0"
        );
    }

    proptest! {
        #[test]
        fn any_login_survives_the_url(user in "\\PC{1,20}", password in "\\PC{1,20}", database in "[^\u{0}/?#]{1,20}") {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let url = format!("postgres://{}:{}@db/{}", encode(&user), encode(&password), encode(&database));
            let stream = replication(&url);
            prop_assert_eq!((stream.user, stream.password, stream.database), (user, password, database));
        }

        #[test]
        fn no_text_makes_the_parser_panic(url in "(postgres://)?\\PC{0,60}") {
            drop(replication_config(&url, "slot", "publication"));
        }
    }
}
