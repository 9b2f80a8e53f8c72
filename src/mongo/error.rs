//! The driver's errors in the crate's terms: one table by error code.
//!
//! A server's message is never passed on: it quotes documents and filters, which hold people's data. Codes and names suffice.

use mongodb::error::{
    Error as DriverError, ErrorKind, RETRYABLE_ERROR, RETRYABLE_WRITE_ERROR, TRANSIENT_TRANSACTION_ERROR, WriteFailure,
};

use super::tls;
use crate::{
    error::{Error, Fault},
    model::{
        fact::{PositionLoss, RetryClass},
        problem::{Problem, Reason},
        side::Side,
    },
};

const NO_WRITES_FIX: &str = "make room on the disk of the MongoDB server, raise the cluster's quota or end its write block; the bridge \
    goes on by itself";
const STANDALONE_FIX: &str =
    "the server must be a replica set member: start mongod with --replSet rs0 and run rs.initiate() once";

/// What was being done when the driver failed.
#[derive(Clone, Copy)]
pub(super) struct Doing<'a> {
    /// For the message: "reading documents".
    pub(super) what: &'static str,
    /// The collection, or the database for a whole-database operation.
    pub(super) on: &'a str,
    /// The privilege it needs: "find".
    pub(super) right: &'static str,
}

/// What a server's error code calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The server cannot be reached, or one behind it: try again.
    Unreachable,
    /// There is no primary at the moment, or it stops: try again.
    Election,
    /// The server is short of something, or took too long: try again later.
    Overload,
    /// The server takes no writes from anybody: its disk is full, its quota used up, or somebody blocked writes.
    NoWrites,
    /// A code that is not in the table. As an answer to a command it is tried again: halting on a code we do not know would stop
    /// everybody's sync. As an answer about one document it is that document's.
    Unknown,
    /// Another transaction holds the document: try again, or give the race up.
    Contended,
    /// The change stream cannot go on from the position, and why.
    PositionLost(PositionLoss),
    /// The position is not one: the same if met when opening.
    PositionUnusable,
    /// Login refused.
    LoginRefused,
    /// A right is missing.
    Denied,
    /// Needs a replica set.
    Standalone,
    /// The document, not the bridge, is at fault.
    Document(Reason),
    /// The server does not understand us: version or configuration.
    Unsupported,
}

/// TransactionTooLargeForCache: fewer documents at once may fit.
pub(super) const NO_ROOM_IN_CACHE: i32 = 388;

/// The table. Codes: MongoDB `src/mongo/base/error_codes.yml`.
pub(super) const fn class(code: i32) -> Class {
    match code {
        // WriteConflict, LockTimeout, SnapshotTooOld, SnapshotUnavailable, TransactionTooLargeForCache (with what others hold there)
        112 | 24 | 239 | 246 | NO_ROOM_IN_CACHE => Class::Contended,
        // ChangeStreamFatalError ("the resume token was not found"), ChangeStreamHistoryLost, ShardRemovedError
        280 => Class::PositionLost(PositionLoss::TokenNotFound),
        286 => Class::PositionLost(PositionLoss::HistoryLost),
        464 => Class::PositionLost(PositionLoss::ShardRemoved),
        // InvalidResumeToken, a resume token without data, a resume token that is not a keystring
        260 | 40647..=40649 | 50794..=50839 => Class::PositionUnusable,
        // HostUnreachable, HostNotFound, NetworkTimeout, FailedToSatisfyReadPreference, SocketException
        6 | 7 | 89 | 133 | 9001 => Class::Unreachable,
        // ShutdownInProgress, PrimarySteppedDown, NotWritablePrimary, InterruptedAtShutdown, InterruptedDueToReplStateChange,
        // NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary, an election's legacy code, ReadConcernMajorityNotAvailableYet
        91 | 189 | 10107 | 11600 | 11602 | 13435 | 13436 | 10058 | 134 => Class::Election,
        // MaxTimeMSExpired, WriteConcernTimeout, ExceededMemoryLimit, NetworkInterfaceExceededTimeLimit, ExceededTimeLimit,
        // TemporarilyUnavailable, IngressRequestRateLimitExceeded
        50 | 64 | 146 | 202 | 262 | 365 | 462 => Class::Overload,
        // UserWritesBlocked, AtlasError (a quota), OutOfDiskSpace
        371 | 8000 | 14031 => Class::NoWrites,
        // AuthenticationFailed, UserNotFound
        18 | 11 => Class::LoginRefused,
        // Unauthorized
        13 => Class::Denied,
        // IllegalOperation ("Transaction numbers are only allowed on a replica set member"), $changeStream on a standalone,
        // NoReplicationEnabled, NotAReplicaSet (a linearizable read)
        20 | 40573 | 76 | 123 => Class::Standalone,
        // DuplicateKey in its three spellings
        11000 | 11001 | 12582 => Class::Document(Reason::UniqueTaken),
        // DocumentValidationFailure, PathNotViable, ConflictingUpdateOperators, DollarPrefixedFieldName, ImmutableField
        121 | 28 | 40 | 52 | 66 => Class::Document(Reason::Constraint),
        // BSONObjectTooLarge, KeyTooLong, a document grown too large by an update, TransactionTooLarge, Overflow (nesting)
        10334 | 17280 | 17419 | 17420 | 257 | 15 => Class::Document(Reason::TooLarge),
        // BadValue, FailedToParse, TypeMismatch, CommandNotFound, InvalidOptions, CommandNotSupported, CommandNotSupportedOnView,
        // OperationNotSupportedInTransaction, an unknown pipeline stage
        2 | 9 | 14 | 59 | 72 | 115 | 166 | 263 | 40324 => Class::Unsupported,
        _ => Class::Unknown,
    }
}

/// The server's code, if it answered with one.
pub(super) fn code_of(error: &DriverError) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => Some(concern.code),
        ErrorKind::InsertMany(many) => many.write_errors.as_ref().and_then(|errors| errors.first()).map(|e| e.code),
        _ => None,
    }
}

/// What a driver's error calls for; `None` when no server answered.
pub(super) fn class_of(error: &DriverError) -> Option<Class> {
    code_of(error).map(class)
}

/// The driver's error as ours, for an operation on an open connection.
pub(super) fn translate(error: &DriverError, doing: Doing<'_>) -> Error {
    described(error, doing).from_side(Side::Legacy)
}

fn described(error: &DriverError, doing: Doing<'_>) -> Error {
    let Some(code) = code_of(error) else { return without_answer(error, doing) };
    let context = format!("{} on {}: MongoDB error {code}{}", doing.what, doing.on, name_of(error));
    let class = class(code);
    let passing_by_label = [TRANSIENT_TRANSACTION_ERROR, RETRYABLE_WRITE_ERROR, RETRYABLE_ERROR]
        .iter()
        .any(|label| error.contains_label(label));
    let certain = matches!(class, Class::PositionLost(_) | Class::Document(_) | Class::Denied | Class::NoWrites);
    if passing_by_label && !certain {
        return Error::retry(context).with_class(retry_class(class));
    }
    of_class(class, code, context, doing)
}

/// The error of one write of a command that was refused, as the server's code tells it.
pub(super) fn of_write(code: i32, doing: Doing<'_>) -> Error {
    let context = format!("{} on {}: MongoDB error {code}", doing.what, doing.on);
    of_class(class(code), code, context, doing).from_side(Side::Legacy)
}

fn of_class(class: Class, code: i32, context: String, doing: Doing<'_>) -> Error {
    match class {
        Class::Unreachable
        | Class::Election
        | Class::Overload
        | Class::Unknown
        | Class::Contended
        | Class::PositionUnusable => Error::retry(context).with_class(retry_class(class)),
        Class::NoWrites => Error::retry(format!("{context}: the server takes no writes"))
            .with_class(RetryClass::Blocked)
            .with_hint(NO_WRITES_FIX),
        Class::PositionLost(loss) => position_lost(context, loss),
        Class::LoginRefused => login_refused(),
        Class::Denied => denied(&context, doing),
        Class::Standalone => Error::halt(context).with_hint(STANDALONE_FIX),
        Class::Document(_) => Error::park(context).with_fault(Fault {
            code: code.to_string(),
            table: Some(doing.on.to_owned()),
            ..Fault::default()
        }),
        Class::Unsupported => Error::halt(context)
            .with_hint("MongoDB 4.4 or later is needed, as a replica set; run `biograph-bridge check`"),
    }
}

/// How soon to try again.
const fn retry_class(class: Class) -> RetryClass {
    match class {
        Class::Unreachable => RetryClass::Connection,
        Class::Election => RetryClass::Election,
        Class::Overload => RetryClass::Overload,
        Class::Contended => RetryClass::Contention,
        Class::Denied | Class::NoWrites => RetryClass::Blocked,
        Class::LoginRefused => RetryClass::Login,
        Class::Unknown
        | Class::PositionLost(_)
        | Class::PositionUnusable
        | Class::Standalone
        | Class::Document(_)
        | Class::Unsupported => RetryClass::Error,
    }
}

/// The same for opening a change stream, where an unusable token is a lost position too.
pub(super) fn translate_open(error: &DriverError, doing: Doing<'_>) -> Error {
    match class_of(error) {
        // with nothing but our own options and a token in the command, what the server cannot parse is the token
        Some(Class::PositionUnusable | Class::Unsupported) => unusable_token(doing),
        _ => translate(error, doing),
    }
}

/// A document was refused: why, without what it holds.
pub(super) fn problem(code: i32, index: Option<&str>) -> Problem {
    let of_index = index.map(|name| format!(" of index {name}")).unwrap_or_default();
    match class(code) {
        Class::Document(Reason::UniqueTaken) => {
            Problem::new(Reason::UniqueTaken, format!("another legacy document holds the unique value{of_index}"))
        }
        Class::Document(Reason::TooLarge) => {
            Problem::new(Reason::TooLarge, format!("the legacy document would be too large (MongoDB error {code})"))
        }
        // BadValue inside a write is "object to insert too large" or a value the server cannot take
        _ if code == 121 => Problem::new(Reason::Constraint, "the collection's validator refuses the document"),
        _ => Problem::new(Reason::Constraint, format!("MongoDB refuses the document (error {code})")),
    }
}

fn name_of(error: &DriverError) -> String {
    match &*error.kind {
        ErrorKind::Command(command) if !command.code_name.is_empty() => format!(" ({})", command.code_name),
        _ => String::new(),
    }
}

/// The saved position is no token that this server could have given.
pub(super) fn unusable_token(doing: Doing<'_>) -> Error {
    let context = format!("{} on {}: the saved position is not a resume token of this server", doing.what, doing.on);
    position_lost(context, PositionLoss::TokenUnusable)
}

fn position_lost(context: String, loss: PositionLoss) -> Error {
    Error::halt(context)
        .with_loss(loss)
        .with_hint("the bridge takes a new position and sweeps; a larger oplog prevents it: db.adminCommand({replSetResizeOplog: 1, size: MB})")
}

fn login_refused() -> Error {
    Error::halt("MongoDB refuses the bridge's login")
        .with_class(RetryClass::Login)
        .with_hint("check user, password and authSource in legacy_uri")
}

fn denied(context: &str, doing: Doing<'_>) -> Error {
    let (right, on) = (doing.right, doing.on);
    Error::halt(format!("{context}: the right {right} on {on} is missing")).with_class(RetryClass::Blocked).with_hint(
        format!("grant the bridge's user a role with {right} on {on}, for example readWrite on the legacy database"),
    )
}

fn without_answer(error: &DriverError, doing: Doing<'_>) -> Error {
    let context = format!("{} on {}", doing.what, doing.on);
    let broken = |what: String| Error::retry(format!("{context}: {what}")).with_class(RetryClass::Connection);
    match &*error.kind {
        ErrorKind::Authentication { .. } => login_refused(),
        ErrorKind::Io(io) => tls::refusal(&io.to_string())
            .unwrap_or_else(|| broken(format!("the connection to MongoDB failed ({})", io.kind()))),
        // what the driver says of a server that it reached and that refused it
        ErrorKind::ServerSelection { message, .. } if message.contains("Authentication") => login_refused(),
        ErrorKind::ServerSelection { message, .. } => tls::refusal(message).unwrap_or_else(|| {
            broken("no primary answers".to_owned()).with_hint(
                "is MongoDB running and reachable at the hosts in legacy_uri, and does it ask for TLS (tls=true) or for a client \
                 certificate that it trusts and that has not expired (tlsCertificateKeyFile)?",
            )
        }),
        ErrorKind::InvalidTlsConfig { .. } => tls::unusable_files(),
        ErrorKind::InvalidArgument { .. } | ErrorKind::IncompatibleServer { .. } => {
            Error::halt(format!("{context}: not possible with this server or legacy_uri"))
                .with_hint("run `biograph-bridge check`")
        }
        ErrorKind::SessionsNotSupported | ErrorKind::Transaction { .. } => {
            Error::halt(format!("{context}: transactions are not possible")).with_hint(STANDALONE_FIX)
        }
        ErrorKind::DnsResolve { .. } => broken("the host in legacy_uri cannot be resolved".to_owned()),
        ErrorKind::ConnectionPoolCleared { .. } => broken("the connections to MongoDB were lost".to_owned()),
        ErrorKind::Shutdown => Error::retry(format!("{context}: shutting down")),
        _ => Error::retry(format!("{context}: MongoDB's answer was not understood")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_tried_again_in_its_own_time_and_documents_are_parked() {
        let table: [(&[i32], RetryClass); 7] = [
            (&[6, 7, 89, 133, 9001], RetryClass::Connection),
            (&[91, 134, 189, 10058, 10107, 11600, 11602, 13435, 13436], RetryClass::Election),
            (&[50, 64, 146, 202, 262, 365, 462], RetryClass::Overload),
            (&[24, 112, 239, 246, 388], RetryClass::Contention),
            (&[11, 18], RetryClass::Login),
            (&[13, 371, 8000, 14031], RetryClass::Blocked),
            (&[43, 251, 99_999, 11000, 121], RetryClass::Error),
        ];
        for (codes, expected) in table {
            codes.iter().for_each(|code| assert_eq!(retry_class(class(*code)), expected, "{code}"));
        }
        assert_eq!(class(11000), Class::Document(Reason::UniqueTaken));
        assert_eq!(class(121), Class::Document(Reason::Constraint));
        assert_eq!(class(10334), Class::Document(Reason::TooLarge));
    }

    #[test]
    fn a_lost_position_is_recognised_and_a_network_error_never_is() {
        let doing = Doing { what: "following changes", on: "BioGraphDemo", right: "changeStream" };
        for (code, loss) in
            [(280, PositionLoss::TokenNotFound), (286, PositionLoss::HistoryLost), (464, PositionLoss::ShardRemoved)]
        {
            assert_eq!(class(code), Class::PositionLost(loss));
            assert_eq!(position_lost(String::new(), loss).position_lost(), Some(loss));
        }
        assert_eq!(unusable_token(doing).position_lost(), Some(PositionLoss::TokenUnusable));
        let io = DriverError::from(std::io::ErrorKind::ConnectionReset);
        let error = translate_open(&io, doing);
        assert_eq!(error.position_lost(), None);
        assert_eq!(error.disposition(), crate::error::Disposition::Retry);
    }
}
