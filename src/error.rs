//! One error for the whole program, sorted by what the reader should do next.
//!
//! An error says *what* happened (the message, with a condition name in the style of Spark's error
//! conditions), *where* (a [`Place`] in a text that the user wrote, or the path in the message) and
//! *what to do* (the hint). Where the condition is one of Spark's, it bears Spark's name, so that a
//! search for it finds Spark's own documentation. The library never prints: `cli` does.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act, and so which exit code the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line or an option is wrong. Exit code 2.
    Usage,
    /// The SQL text is wrong, or asks for what a stream cannot do. Exit code 2.
    Sql,
    /// A value, or an input, is not what the query can work with. Exit code 1.
    Input,
    /// The query or its settings do not fit the checkpoint that is there. Exit code 10.
    Changed,
    /// The checkpoint or the state in it is damaged. Exit code 11.
    Checkpoint,
    /// Another process runs the query. Exit code 12.
    InUse,
    /// The table is not as the checkpoint knows it, or cannot be written to. Exit code 13.
    Sink,
    /// A file that a batch was to read is missing or has changed. Exit code 14.
    Files,
    /// The disk or the operating system said no. Exit code 15.
    Storage,
    /// A limit that was set, or the machine's, is reached. Exit code 16.
    Limit,
    /// A rule that the program itself guarantees does not hold: a bug of ours. Exit code 70.
    Internal,
}

/// A range of bytes in a text, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

/// Where in a text that the user wrote an error lies.
#[derive(Debug, Clone)]
pub struct Place {
    /// What the text is called: a file name, or `-c` for a command line.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
    /// The part that is meant.
    pub span: Span,
}

impl Place {
    /// Line and column (both from 1) of the first byte meant; columns count characters.
    pub fn line_column(&self) -> (usize, usize) {
        let mut end = self.span.start.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

/// What went wrong, where, and what to do about it.
///
/// `Display` gives the one-line form: `[CONDITION] message`, then the place if there is one.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    condition: Cow<'static, str>,
    message: String,
    hint: Option<String>,
    subject: Option<String>,
    place: Option<Place>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind. `condition` is the name in brackets: upper case, underscores.
    pub fn new(
        kind: Kind,
        condition: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Error(Box::new(Inner {
            kind,
            condition: condition.into(),
            message: message.into(),
            hint: None,
            subject: None,
            place: None,
            source: None,
        }))
    }

    /// The command line or an option is wrong.
    pub fn usage(condition: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, condition, message)
    }

    /// The SQL text is wrong.
    pub fn sql(condition: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Sql, condition, message)
    }

    /// A value, or an input, is not what the query can work with.
    pub fn input(condition: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Input, condition, message)
    }

    /// The query or its settings do not fit the checkpoint that is there.
    pub fn changed(condition: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Changed, condition, message)
    }

    /// The checkpoint or the state in it is damaged.
    pub fn checkpoint(condition: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Checkpoint, condition, message)
    }

    /// Another process runs the query.
    pub fn in_use(condition: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::InUse, condition, message)
    }

    /// The table is not as the checkpoint knows it, or cannot be written to.
    pub fn sink(condition: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Sink, condition, message)
    }

    /// A file that a batch was to read is missing or has changed.
    pub fn files(condition: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Files, condition, message)
    }

    /// The disk or the operating system said no.
    pub fn storage(condition: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Storage, condition, message)
    }

    /// A limit that was set, or the machine's, is reached.
    pub fn limit(condition: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Limit, condition, message)
    }

    /// A bug of ours. The message says which rule does not hold.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, "INTERNAL_ERROR", message)
            .hint("this is a bug in strandline: please report it with the command that you ran")
    }

    /// An operating system error on a path, with what was being done (`"read"`, `"create"`).
    ///
    /// The hint is chosen from the kind of the error, so that a full disk, a missing folder and a
    /// missing permission each name their own fix.
    pub fn io(doing: &str, path: &Path, error: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        const TOO_MANY_OPEN: [Option<i32>; 2] = [Some(23), Some(24)];
        let (condition, hint) = match error.kind() {
            _ if TOO_MANY_OPEN.contains(&error.raw_os_error()) => (
                "TOO_MANY_OPEN_FILES",
                "raise the limit (ulimit -n), or close what else is open, and start again",
            ),
            K::NotFound => ("PATH_NOT_FOUND", "check the path, or create it"),
            K::PermissionDenied => (
                "PERMISSION_DENIED",
                "give this user the right to it, or choose another folder with --project",
            ),
            K::StorageFull => {
                ("DISK_FULL", "free some space and start again: the run continues where it stopped")
            }
            K::ReadOnlyFilesystem => {
                ("READ_ONLY_FILE_SYSTEM", "choose a folder that can be written with --project")
            }
            _ => (
                "IO_ERROR",
                "when the cause is gone, start again: the run continues where it stopped",
            ),
        };
        Self::storage(condition, format!("cannot {doing} {}: {error}", path.display()))
            .hint(hint)
            .caused_by(error)
    }

    /// Adds what the reader can do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names the option that is meant, for a caller who knows where the user wrote it.
    pub fn about(mut self, option: impl Into<String>) -> Self {
        self.0.subject = Some(option.into());
        self
    }

    /// Adds where in the user's text the error lies.
    pub fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    /// Keeps the error of a library underneath.
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts words before the message, as in `query 'clicks', batch 7: …`.
    pub fn context(mut self, before: impl fmt::Display) -> Self {
        self.0.message = format!("{before}: {}", self.0.message);
        self
    }

    /// Who has to act.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The condition name, without brackets.
    pub fn condition(&self) -> &str {
        &self.0.condition
    }

    /// The message, without condition, place and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the reader can do.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The option that is meant.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// Where in the user's text the error lies.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// The exit code of a process that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self.0.kind {
            Kind::Usage | Kind::Sql => 2,
            Kind::Input => 1,
            Kind::Changed => 10,
            Kind::Checkpoint => 11,
            Kind::InUse => 12,
            Kind::Sink => 13,
            Kind::Files => 14,
            Kind::Storage => 15,
            Kind::Limit => 16,
            Kind::Internal => 70,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.0.condition, self.0.message)?;
        if let Some(place) = &self.0.place {
            let (line, column) = place.line_column();
            write!(f, " ({}:{line}:{column})", place.name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        if let Some(hint) = &self.0.hint {
            write!(f, " help: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

/// An error of DataFusion. One of ours that travelled through it (out of a function or a plan
/// node) is taken out again; every other one means that a query failed while it ran.
impl From<datafusion::error::DataFusionError> for Error {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        use datafusion::error::DataFusionError as D;
        match error {
            D::External(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => Error::input("QUERY_EXECUTION_ERROR", other.to_string()),
            },
            D::Context(_, inner) | D::Diagnostic(_, inner) => Error::from(*inner),
            D::ArrowError(inner, _) => Error::from(*inner),
            other => Error::input("QUERY_EXECUTION_ERROR", other.strip_backtrace()),
        }
    }
}

/// An error of Arrow: a value that a query computed does not fit, or one of ours inside.
impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError as A;
        match error {
            A::ExternalError(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => Error::input("QUERY_EXECUTION_ERROR", other.to_string()),
            },
            A::DivideByZero => Error::input("DIVIDE_BY_ZERO", "division by zero")
                .hint("write try_divide(a, b), or nullif(b, 0), to get NULL instead"),
            other => Error::input("QUERY_EXECUTION_ERROR", other.to_string()),
        }
    }
}

/// An error of Delta Lake: the table could not be read or written.
impl From<deltalake::DeltaTableError> for Error {
    fn from(error: deltalake::DeltaTableError) -> Self {
        Error::storage("DELTA_TABLE_ERROR", error.to_string())
    }
}

/// So that our errors can travel through DataFusion's own plans and come out whole.
impl From<Error> for datafusion::error::DataFusionError {
    fn from(error: Error) -> Self {
        datafusion::error::DataFusionError::External(Box::new(error))
    }
}
