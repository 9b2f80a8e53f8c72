//! One table from what Postgres reports (SQLSTATE) and what the drivers report to what the bridge does about it.
//!
//! The server's own text may hold people's values (class 22 and 23, anything a trigger raises): it is passed on only for
//! classes that speak of names, rights and connections.

use std::error::Error as StdError;

use pgwire_replication::PgWireError;
use sqlx::postgres::PgDatabaseError;

use crate::{
    error::{Disposition, Error, Fault},
    model::{
        fact::{PositionLoss, RetryClass},
        side::Side,
    },
};

const CHECK: &str = "run `biograph-bridge check`: it names what is missing and prints the command that fixes it";
const INIT: &str = "run `biograph-bridge init`";
const LOGIN: &str = "check user, password and database of the Renaissance URL, and pg_hba.conf on the server";
const RIGHTS: &str = "run `biograph-bridge check`: it prints the GRANT for each missing right";
const DISK: &str = "make room on the disk of the Postgres server; the bridge goes on by itself";
const CONNECTIONS: &str =
    "raise max_connections or max_wal_senders, or close other clients; the bridge goes on by itself";
const LOCKED: &str = "see in pg_stat_activity whose transaction is open for long (a migration, a forgotten session), and end it; the bridge goes on \
    by itself";
const LIMITS: &str = "raise max_replication_slots, or drop a slot that nobody uses; then restart the server";
const READ_ONLY: &str = "a replica: point the Renaissance URL at the primary; a primary: look for default_transaction_read_only in \
    its settings, and those of the database and the role; the bridge goes on by itself";

const CLIENT_CERTIFICATE: &str = "give a certificate that is valid and signed by an authority in the server's ssl_ca_file, with its key: \
    sslcert=…&sslkey=… in the Renaissance URL";
/// How rustls says that it does not accept the other side's certificate.
const PEER: &str = "invalid peer certificate: ";
/// How rustls says that the other side ended the handshake.
const ALERT: &str = "received fatal alert: ";
/// The alerts that are about a certificate (RFC 8446, section 6.2), as rustls calls them.
const OVER_OURS: [&str; 7] = [
    "BadCertificate",
    "UnsupportedCertificate",
    "CertificateRevoked",
    "CertificateExpired",
    "CertificateUnknown",
    "UnknownCA",
    "CertificateRequired",
];

/// What the function `fence` of the state raises.
const TAKEN_OVER: &str = "BB001";

/// What to do about one SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    disposition: Disposition,
    class: RetryClass,
    what: &'static str,
    hint: Option<&'static str>,
    /// Whether the server's text speaks of names only, never of values.
    text_is_safe: bool,
}

impl Verdict {
    const fn of(self, class: RetryClass) -> Self {
        Self { class, ..self }
    }
}

const fn retry(what: &'static str, hint: Option<&'static str>) -> Verdict {
    Verdict { disposition: Disposition::Retry, class: RetryClass::Error, what, hint, text_is_safe: false }
}

const fn park(what: &'static str) -> Verdict {
    Verdict { disposition: Disposition::Park, class: RetryClass::Error, what, hint: None, text_is_safe: false }
}

const fn halt(what: &'static str, hint: &'static str) -> Verdict {
    Verdict { disposition: Disposition::Halt, class: RetryClass::Error, what, hint: Some(hint), text_is_safe: true }
}

fn verdict(code: &str) -> Verdict {
    match (code.get(..2).unwrap_or_default(), code) {
        ("08", _) => retry("the connection to Postgres broke", None).of(RetryClass::Connection),
        (_, "57P04") => halt("the database was dropped", LOGIN),
        (_, "57P01" | "57P02" | "57P03" | "57P05") => {
            retry("Postgres is shutting down, starting or in recovery", None).of(RetryClass::Election)
        }
        (_, "57014") => retry("Postgres cancelled the statement (a timeout)", None),
        (_, TAKEN_OVER) => retry("another daemon has taken over: nothing was written", None),
        (_, "40001" | "40P01") => retry("a concurrent transaction was in the way", None).of(RetryClass::Contention),
        ("40", _) => retry("the transaction was rolled back", None),
        (_, "53100") => retry("the disk of the Postgres server is full", Some(DISK)).of(RetryClass::Blocked),
        (_, "53300") => retry("Postgres accepts no more connections", Some(CONNECTIONS)).of(RetryClass::Overload),
        (_, "53400") => halt("a configured limit of the server is reached", LIMITS),
        ("53", _) => retry("the Postgres server is short of resources", None).of(RetryClass::Overload),
        (_, "55P03") => {
            retry("a row or table stayed locked by another session", Some(LOCKED)).of(RetryClass::Contention)
        }
        (_, "55006") => retry("an object is in use by another session", None),
        (_, "55000") => halt("an object is not in the needed state", CHECK),
        ("58", _) => retry("the operating system failed Postgres", None),
        (_, "25006") => retry("Postgres does not accept writes", Some(READ_ONLY)).of(RetryClass::Blocked),
        ("25" | "26" | "34" | "24" | "72", _) => retry("the session lost its state", None),
        // a cached plan whose result type changed also reports 0A000; a new session does not have it
        (_, "0A000") => retry("a structure changed under a prepared statement, or a feature is missing", None),
        ("22", _) => park("Postgres refused a value"),
        ("23" | "44", _) => park("a constraint refused the row"),
        ("54", _) => park("a value is too large for an index or a row"),
        ("09" | "2F" | "38" | "39" | "P0", _) => park("a trigger refused the row"),
        ("28" | "3D", _) => halt("Postgres refused the login", LOGIN).of(RetryClass::Login),
        (_, "42501") => halt("a right is missing", RIGHTS).of(RetryClass::Blocked),
        (_, "42P01" | "42703" | "3F000") => halt("a table, column or schema is missing", CHECK),
        (_, "42704") => halt("the slot, the publication or a type is missing", INIT),
        (_, "XX000" | "XX001" | "XX002") => retry("Postgres reports an internal error; see its log", None),
        _ => halt("Postgres refused the statement", CHECK),
    }
}

fn error_of(code: &str, text: &str) -> Error {
    let Verdict { disposition, class, what, hint, text_is_safe } = verdict(code);
    let context = if text_is_safe { format!("{what}: {text} ({code})") } else { format!("{what} ({code})") };
    let error = match disposition {
        Disposition::Retry => Error::retry(context),
        Disposition::Park => Error::park(context),
        Disposition::Halt => Error::halt(context),
    };
    let error = error.with_class(class).from_side(Side::Renaissance);
    let asks_for_one = code == "28000" && text.contains("client certificate");
    match hint.map(|hint| if asks_for_one { CLIENT_CERTIFICATE } else { hint }) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        of_driver(error).from_side(Side::Renaissance)
    }
}

fn of_driver(error: sqlx::Error) -> Error {
    let broken = |what: &str| Error::retry(what).with_class(RetryClass::Connection);
    match error {
        sqlx::Error::Database(refusal) => match refusal.try_downcast_ref::<PgDatabaseError>() {
            Some(refusal) => of_database(refusal),
            None => Error::halt("Postgres refused the statement"),
        },
        sqlx::Error::Io(source) if is_certificate(&source) => tls_refused(&source).with_source(source),
        sqlx::Error::Io(source) => broken("no connection to Postgres").with_source(source),
        sqlx::Error::Tls(source) => {
            let unreachable = source.downcast_ref::<std::io::Error>().is_some_and(|e| !is_certificate(e));
            let error = if unreachable { broken("no TLS connection to Postgres") } else { tls_refused(&*source) };
            error.with_source(source)
        }
        sqlx::Error::PoolTimedOut => broken("no connection to Postgres became free or could be opened in time")
            .with_hint("is Postgres running and reachable at the host and port in renaissance_url?"),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => broken("the connections to Postgres are closed"),
        sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed => broken("the session with Postgres lost its state"),
        sqlx::Error::RowNotFound => Error::halt("a row that must exist is missing").with_hint(CHECK),
        sqlx::Error::ColumnDecode { index, .. } => {
            Error::halt(format!("column {index} of an answer has an unexpected type")).with_hint(CHECK)
        }
        sqlx::Error::Configuration(_) => Error::halt("the Renaissance URL cannot be used"),
        other => Error::halt(format!("the Postgres driver failed ({})", kind_of(&other))),
    }
}

fn of_database(refusal: &PgDatabaseError) -> Error {
    let name = |text: Option<&str>| text.map(str::to_owned);
    error_of(refusal.code(), refusal.message()).with_fault(Fault {
        code: refusal.code().to_owned(),
        table: name(refusal.table()),
        column: name(refusal.column()),
        constraint: name(refusal.constraint()),
    })
}

/// The variant's name: the text of these errors is not known to be free of values.
fn kind_of(error: &sqlx::Error) -> String {
    let shown = format!("{error:?}");
    shown.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// rustls reports a certificate that it does not accept through an I/O error, and also that the server did not accept ours.
fn is_certificate(error: &std::io::Error) -> bool {
    let text = error.to_string();
    error.kind() == std::io::ErrorKind::InvalidData && (text.contains("certificate") || is_about_ours(&text))
}

/// Whether the other side has ended the handshake over our certificate; for other reasons another attempt may do.
fn is_about_ours(text: &str) -> bool {
    let reason = text.split_once(ALERT).map(|(_, reason)| reason);
    reason.is_some_and(|reason| OVER_OURS.iter().any(|known| reason.starts_with(known)))
}

fn tls_refused(source: &(impl std::fmt::Display + ?Sized)) -> Error {
    if is_about_ours(&source.to_string()) {
        return Error::halt("Postgres refused the client certificate").with_hint(CLIENT_CERTIFICATE);
    }
    let text = source.to_string();
    let (what, fix) = of_certificate(text.split_once(PEER).map_or("", |(_, reason)| reason));
    Error::halt(what).with_hint(fix)
}

/// What is wrong with the server's certificate, in rustls' words.
fn of_certificate(reason: &str) -> (&'static str, &'static str) {
    let is = |known: &[&str]| known.iter().any(|start| reason.starts_with(start));
    if is(&["certificate not valid for name", "NotValidForName"]) {
        (
            "Postgres' certificate is for another host",
            "name the server in the Renaissance URL as its certificate does, or give it a certificate with this host as subjectAltName; \
             replication checks the name in verify-ca as well",
        )
    } else if is(&["certificate expired", "Expired"]) {
        (
            "Postgres' certificate has expired",
            "renew it on the server (ssl_cert_file), and see whether this machine's clock is right",
        )
    } else if is(&["certificate not valid yet", "NotValidYet"]) {
        ("Postgres' certificate is not valid yet", "see whether this machine's clock is right")
    } else if is(&["UnknownIssuer"]) {
        (
            "Postgres' certificate is from an authority that is not trusted here",
            "name the file with the authority's certificate in the Renaissance URL: sslrootcert=/path/to/ca.pem",
        )
    } else {
        (
            "the TLS connection to Postgres was refused",
            "give the server's authority with sslrootcert=… in the Renaissance URL, or the sslmode it supports",
        )
    }
}

impl From<PgWireError> for Error {
    fn from(error: PgWireError) -> Self {
        let doing = "the replication stream";
        let broken = |what: &str| Self::retry(format!("{doing} {what}")).with_class(RetryClass::Connection);
        let error = match error {
            PgWireError::Server(text) => of_replication(&text),
            PgWireError::Auth(text) => {
                Self::halt(format!("{doing} was refused: {text}")).with_hint(LOGIN).with_class(RetryClass::Login)
            }
            // the crate takes a wrong name for a wrong certificate even in verify-ca, because rustls renamed that error
            PgWireError::Tls(text) => tls_refused(&text).with_source(text).during(doing),
            PgWireError::Io(source) if is_certificate(&source) => {
                tls_refused(&source).with_source(source).during(doing)
            }
            PgWireError::Io(source) => broken("lost its connection").with_source(source),
            PgWireError::MessageTooLarge { payload_bytes, limit_bytes } => {
                Self::halt(format!("{doing} sent a row of {payload_bytes} bytes, more than {limit_bytes}"))
            }
            PgWireError::Protocol(_) | PgWireError::Task(_) | PgWireError::Internal(_) => {
                broken("broke off").with_source(error)
            }
            _ => broken("broke off"),
        };
        error.from_side(Side::Renaissance)
    }
}

/// pgwire-replication gives the server's answer as `message (SQLSTATE code)`.
fn of_replication(text: &str) -> Error {
    let marker = " (SQLSTATE ";
    let (message, code) = match text.rsplit_once(marker) {
        Some((message, code)) => (message, code.trim_end_matches(')')),
        None => (text, ""),
    };
    if code.is_empty() {
        return Error::retry("the replication stream was ended by the server without a reason");
    }
    let error = error_of(code, message).with_fault(Fault { code: code.to_owned(), ..Fault::default() });
    let error = if code == "42501" {
        error.with_hint("ALTER ROLE … REPLICATION; `biograph-bridge check` prints it with the role's name")
    } else {
        error
    };
    let error = match code {
        "42704" if message.contains("replication slot") => error.with_loss(PositionLoss::SlotMissing),
        "55000" if message.contains("replication slot") => error.with_loss(PositionLoss::SlotInvalidated),
        // decoding looks the publication up as of each change: one that was made later is not there
        "42704" if message.contains("publication") => error.with_loss(PositionLoss::SlotInvalidated),
        _ => error,
    };
    error.during("the replication stream")
}

/// Names what was being done: `.map_err(during("reading users"))`.
pub fn during<E: Into<Error> + StdError>(doing: &'static str) -> impl FnOnce(E) -> Error {
    move |error| error.into().during(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_alert_about_a_certificate_is_final() {
        let of = |alert: &str| {
            let text = format!("received fatal alert: {alert}");
            Error::from(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, text)))
        };
        for alert in ["CertificateExpired", "UnknownCA", "CertificateRequired"] {
            assert_eq!(of(alert).disposition(), Disposition::Halt, "{alert}");
            assert!(of(alert).hint().unwrap().contains("sslcert"), "{alert}");
        }
        for alert in ["HandshakeFailure", "InternalError", "ProtocolVersion"] {
            assert_eq!(of(alert).disposition(), Disposition::Retry, "{alert}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_servers_certificate_is_said() {
        for (reason, expected) in [
            (
                "certificate not valid for name \"db\"; certificate is only valid for DnsName(\"db1\")",
                "for another host",
            ),
            ("NotValidForName", "for another host"),
            ("certificate expired: verification time 2 (UNIX), but certificate is not valid after 1", "has expired"),
            ("UnknownIssuer", "not trusted here"),
            ("BadSignature", "was refused"),
        ] {
            let text = format!("invalid peer certificate: {reason}");
            let error =
                Error::from(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, text.clone())));
            assert_eq!(error.disposition(), Disposition::Halt, "{reason}");
            for error in [error, Error::from(PgWireError::Tls(text))] {
                assert!(error.to_string().contains(expected), "{reason}: {error}");
            }
        }
    }

    #[test]
    fn every_class_has_its_disposition() {
        let retry = ["08006", "57P01", "57P03", "40001", "40P01", "53300", "53100", "55P03", "55006", "25006", "XX000"];
        let park = ["22001", "22021", "22P02", "23505", "23503", "23502", "54000", "P0001", "44000"];
        let halt =
            ["28P01", "28000", "3D000", "42501", "42P01", "42703", "42704", "55000", "42601", "57P04", "F0000", ""];
        for (codes, disposition) in
            [(&retry[..], Disposition::Retry), (&park, Disposition::Park), (&halt, Disposition::Halt)]
        {
            for code in codes {
                assert_eq!(verdict(code).disposition, disposition, "{code}");
            }
        }
    }

    #[test]
    fn every_class_of_failure_is_tried_again_in_its_own_time() {
        for (code, class) in [
            ("08000", RetryClass::Connection),
            ("08006", RetryClass::Connection),
            ("57P01", RetryClass::Election),
            ("57P02", RetryClass::Election),
            ("57P03", RetryClass::Election),
            ("57P05", RetryClass::Election),
            ("40001", RetryClass::Contention),
            ("40P01", RetryClass::Contention),
            ("55P03", RetryClass::Contention),
            ("53000", RetryClass::Overload),
            ("53200", RetryClass::Overload),
            ("53300", RetryClass::Overload),
            ("53100", RetryClass::Blocked),
            ("25006", RetryClass::Blocked),
            ("42501", RetryClass::Blocked),
            ("28000", RetryClass::Login),
            ("28P01", RetryClass::Login),
            ("3D000", RetryClass::Login),
            ("57014", RetryClass::Error),
            ("XX000", RetryClass::Error),
            ("23505", RetryClass::Error),
        ] {
            let error = error_of(code, "text");
            assert_eq!((error.class(), error.side()), (class, Some(Side::Renaissance)), "{code}");
        }
        let cut = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(Error::from(sqlx::Error::Io(cut)).class(), RetryClass::Connection);
        assert_eq!(Error::from(sqlx::Error::PoolTimedOut).class(), RetryClass::Connection);
        assert_eq!(Error::from(PgWireError::Auth("SCRAM".into())).class(), RetryClass::Login);
    }

    #[test]
    fn a_halt_says_what_to_do() {
        for code in ["28P01", "42501", "42P01", "42704", "55000", "53100", "25006"] {
            assert!(error_of(code, "text").hint().is_some(), "{code}");
        }
    }

    #[test]
    fn the_servers_text_is_passed_on_only_where_it_cannot_hold_values() {
        for code in ["22001", "22P02", "23505", "P0001", "54000", "XX000", "0A000"] {
            assert!(!error_of(code, "+18475550100").to_string().contains("8475550100"), "{code}");
        }
        assert!(error_of("42501", "permission denied for table users").to_string().contains("table users"));
    }

    #[test]
    fn the_replication_servers_code_is_found_in_its_text() {
        let of = |text: &str| Error::from(PgWireError::Server(text.into()));
        let missing = of("replication slot \"biograph_bridge\" does not exist (SQLSTATE 42704)");
        assert_eq!(missing.disposition(), Disposition::Halt);
        assert_eq!(missing.fault().map(|fault| fault.code.as_str()), Some("42704"));
        assert_eq!(missing.position_lost(), Some(PositionLoss::SlotMissing));
        let gone = of("can no longer get changes from replication slot \"biograph_bridge\" (SQLSTATE 55000)");
        assert_eq!(gone.position_lost(), Some(PositionLoss::SlotInvalidated));
        let ended = of("terminating connection due to administrator command (SQLSTATE 57P01)");
        assert_eq!((ended.disposition(), ended.position_lost()), (Disposition::Retry, None));
        let busy = of("replication slot \"biograph_bridge\" is active for PID 77 (SQLSTATE 55006)");
        assert_eq!(busy.disposition(), Disposition::Retry);
        assert_eq!(of("unknown server error").disposition(), Disposition::Retry);
    }

    #[test]
    fn a_broken_connection_is_tried_again_and_a_bad_password_is_not() {
        let reset = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(Error::from(sqlx::Error::Io(reset())).disposition(), Disposition::Retry);
        assert_eq!(Error::from(PgWireError::from(reset())).disposition(), Disposition::Retry);
        assert_eq!(Error::from(sqlx::Error::PoolTimedOut).disposition(), Disposition::Retry);
        assert_eq!(Error::from(PgWireError::Auth("SCRAM".into())).disposition(), Disposition::Halt);
        assert_eq!(Error::from(sqlx::Error::Protocol("x".into())).disposition(), Disposition::Retry);
    }
}
