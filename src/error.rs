//! The crate's error: what to do about it, where it happened, the command that fixes it, and its source.

use std::{error::Error as StdError, fmt};

use crate::model::{
    fact::{PositionLoss, RetryClass},
    side::Side,
};

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Passing: a connection, an election, a deadlock. Try again with backoff.
    Retry,
    /// One record is at fault. Park it; the others go on.
    Park,
    /// Configuration, rights, structure: a person must act.
    Halt,
}

/// What a database said about the row it refused, by name; never the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// SQLSTATE or MongoDB error code.
    pub code: String,
    /// The table or collection.
    pub table: Option<String>,
    /// The column or path.
    pub column: Option<String>,
    /// The violated constraint.
    pub constraint: Option<String>,
}

/// The [`Fault::code`] of a read that was given up: see [`Error::is_too_much`].
const TOO_MUCH: &str = "too_much";

/// Any failure of the bridge.
#[derive(Debug)]
pub struct Error {
    disposition: Disposition,
    class: RetryClass,
    side: Option<Side>,
    context: String,
    hint: Option<String>,
    fault: Option<Box<Fault>>,
    loss: Option<PositionLoss>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A passing failure.
    pub fn retry(context: impl Into<String>) -> Self {
        Self::new(Disposition::Retry, context)
    }

    /// A failure of one record.
    pub fn park(context: impl Into<String>) -> Self {
        Self::new(Disposition::Park, context)
    }

    /// A failure that a person must act on.
    pub fn halt(context: impl Into<String>) -> Self {
        Self::new(Disposition::Halt, context)
    }

    fn new(disposition: Disposition, context: impl Into<String>) -> Self {
        let (class, context) = (RetryClass::Error, context.into());
        Self { disposition, class, side: None, context, hint: None, fault: None, loss: None, source: None }
    }

    /// Adds the command or setting that fixes it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what kind of failure it is; without this it is [`RetryClass::Error`].
    #[must_use]
    pub const fn with_class(mut self, class: RetryClass) -> Self {
        self.class = class;
        self
    }

    /// Says which side's database it comes from.
    #[must_use]
    pub const fn from_side(mut self, side: Side) -> Self {
        self.side = Some(side);
        self
    }

    /// Adds what the database said about the row.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(Box::new(fault));
        self
    }

    /// Says that the saved position cannot be resumed from: only a new one and a sweep heal that.
    #[must_use]
    pub const fn with_loss(mut self, loss: PositionLoss) -> Self {
        self.loss = Some(loss);
        self
    }

    /// Adds the underlying error. Its text must not hold people's data.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts what was being done in front of the context.
    #[must_use]
    pub fn during(mut self, doing: &str) -> Self {
        self.context = format!("{doing}: {}", self.context);
        self
    }

    /// What to do about it.
    pub const fn disposition(&self) -> Disposition {
        self.disposition
    }

    /// What kind of failure it is: how soon it is worth trying again.
    pub const fn class(&self) -> RetryClass {
        self.class
    }

    /// The side whose database it comes from, where that is known.
    pub const fn side(&self) -> Option<Side> {
        self.side
    }

    /// Whether the database refuses for everybody what it was asked (rights, a full disk, read-only): no record is at fault,
    /// and it goes on by itself once a person has seen to it.
    pub const fn is_blocked(&self) -> bool {
        matches!(self.class, RetryClass::Blocked)
    }

    /// The command or setting that fixes it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Why the saved position cannot be resumed from, if that is what failed.
    pub const fn position_lost(&self) -> Option<PositionLoss> {
        self.loss
    }

    /// Records that were to be read together take more bytes than there is room for.
    pub fn too_much(bytes: usize) -> Self {
        Self::retry(format!("the records of a batch take more than {bytes} bytes; fewer are read at once"))
            .with_fault(Fault { code: TOO_MUCH.to_owned(), ..Fault::default() })
    }

    /// Whether fewer records have to be read at once.
    pub fn is_too_much(&self) -> bool {
        self.fault.as_ref().is_some_and(|fault| fault.code == TOO_MUCH)
    }

    /// What the database said about the row.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
