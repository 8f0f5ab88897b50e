//! A scalar function as a line of a table: names, arguments, result and what one row gives.
//!
//! Spark has some hundred small functions. Here each is a [`Function`]: what it takes is said in
//! words (`"text whole?"`), and a plain closure answers one row. NULL in any argument gives NULL,
//! unless the function says that it sees them. Arguments are brought to the kind that the function
//! reads by Spark's own rules: a number is text where text is wanted, text a date where a date is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::columns::{Column, Kind};
use super::regex::Pattern;
use super::value::{MOST_BYTES, built, too_long};
pub(super) use super::value::{Value, overflow};
use crate::calendar::{TimePattern, Zone};
use crate::error::Error;
use crate::sql::optimizer::session_zone;
use crate::sql::types;

/// A function of Spark.
pub(super) struct Function {
    /// Its names, in lower case; the first is the one that messages use.
    names: &'static str,
    /// The kinds of its arguments (see [`Kind`]): `?` may be left out, `*` and `+` mean any number
    /// of them, and `|` parts forms with other numbers of arguments.
    takes: &'static str,
    gives: Gives,
    sees_nulls: bool,
    volatile: bool,
    answer: fn(&Row) -> Answer,
}

/// What a function says about one row.
pub(super) type Answer = Result<Value, Error>;

/// The type of a result.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    Text,
    Texts,
    Bytes,
    Bool,
    Int,
    Long,
    Double,
    Date,
    Time,
    Interval,
    /// It depends on the arguments: their types, and their values where they are constant.
    Of(fn(&[DataType], &[Option<&ScalarValue>]) -> DataType),
}

impl Function {
    /// A function that answers NULL where an argument is NULL.
    pub(super) const fn new(
        names: &'static str,
        takes: &'static str,
        gives: Gives,
        answer: fn(&Row) -> Answer,
    ) -> Self {
        Self { names, takes, gives, sees_nulls: false, volatile: false, answer }
    }

    /// The function is asked also where an argument is NULL.
    pub(super) const fn seeing_nulls(mut self) -> Self {
        self.sees_nulls = true;
        self
    }

    /// The function may answer otherwise each time.
    pub(super) const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// All its names.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.split(' ')
    }

    /// How many arguments it takes.
    pub(super) fn arity(&self) -> RangeInclusive<usize> {
        let all = self.takes.split('|').map(count);
        all.reduce(|a, b| *a.start().min(b.start())..=*a.end().max(b.end())).unwrap_or(0..=0)
    }

    /// The kind of each of `given` arguments.
    fn parameters(&self, given: usize) -> Vec<Kind> {
        let form = self.takes.split('|').find(|form| count(form).contains(&given));
        let kind = |word: &str| Kind::named(word.trim_end_matches(['?', '*', '+']));
        let mut kinds: Vec<Kind> = form.unwrap_or("").split_whitespace().map(kind).collect();
        let last = kinds.last().copied().unwrap_or(Kind::Any);
        kinds.resize(given, last);
        kinds
    }

    /// The functions as DataFusion registers them, one for each name.
    pub(super) fn registered(&'static self) -> impl Iterator<Item = Arc<ScalarUDF>> {
        self.names().map(move |name| {
            let volatility =
                if self.volatile { Volatility::Volatile } else { Volatility::Immutable };
            let signature = Signature::user_defined(volatility);
            Arc::new(ScalarUDF::from(Registered { name, function: self, signature }))
        })
    }
}

/// How many arguments a form takes.
fn count(form: &str) -> RangeInclusive<usize> {
    let words = form.split_whitespace();
    let needed = words.clone().filter(|word| !word.ends_with(['?', '*'])).count();
    needed..=if form.ends_with(['*', '+']) { usize::MAX } else { words.count() }
}

/// The arguments of one row.
pub(super) struct Row<'a> {
    call: &'a Call<'a>,
    row: usize,
}

/// The arguments of a batch.
struct Call<'a> {
    columns: Vec<Column>,
    types: Vec<DataType>,
    gives: &'a DataType,
    zone: Zone,
    patterns: RefCell<HashMap<String, Pattern>>,
}

impl Row<'_> {
    /// How many arguments were given.
    pub(super) fn len(&self) -> usize {
        self.call.columns.len()
    }

    /// Whether argument `i` was given.
    pub(super) fn has(&self, i: usize) -> bool {
        i < self.len()
    }

    /// Whether an argument is NULL; one that was not given is.
    pub(super) fn is_null(&self, i: usize) -> bool {
        self.call.columns.get(i).is_none_or(|column| column.is_null(self.row))
    }

    /// An argument of the kind `text`.
    pub(super) fn text(&self, i: usize) -> &str {
        self.call.columns.get(i).map_or("", |column| column.text(self.row))
    }

    /// An argument of the kind `bytes`.
    pub(super) fn bytes(&self, i: usize) -> &[u8] {
        self.call.columns.get(i).map_or(&[], |column| column.bytes(self.row))
    }

    /// An argument of the kinds `whole`, `date` (days) or `time` (microseconds).
    pub(super) fn whole(&self, i: usize) -> i64 {
        self.call.columns.get(i).map_or(0, |column| column.whole(self.row))
    }

    /// [`Row::whole`], or `other` where the argument is not given.
    pub(super) fn whole_or(&self, i: usize, other: i64) -> i64 {
        if self.has(i) { self.whole(i) } else { other }
    }

    /// [`Row::text`], or `other` where the argument is not given.
    pub(super) fn text_or<'b>(&'b self, i: usize, other: &'b str) -> &'b str {
        if self.has(i) { self.text(i) } else { other }
    }

    /// An argument of the kind `double`.
    pub(super) fn double(&self, i: usize) -> f64 {
        self.call.columns.get(i).map_or(0.0, |column| column.double(self.row))
    }

    /// An argument of the kind `bool`.
    pub(super) fn bool(&self, i: usize) -> bool {
        self.call.columns.get(i).is_some_and(|column| column.bool(self.row))
    }

    /// An argument of the kind `number`: the digits of a decimal or a whole number.
    pub(super) fn digits(&self, i: usize) -> i128 {
        self.call.columns.get(i).map_or(0, |column| column.digits(self.row))
    }

    /// The type of an argument as it was given.
    pub(super) fn type_of(&self, i: usize) -> &DataType {
        self.call.types.get(i).unwrap_or(&DataType::Null)
    }

    /// The type of the result.
    pub(super) fn gives(&self) -> &DataType {
        self.call.gives
    }

    /// The array of an argument of the kind `any`, and this row in it.
    pub(super) fn raw(&self, i: usize) -> Option<(&ArrayRef, usize)> {
        self.call.columns.get(i)?.raw(self.row)
    }

    /// The time zone of the session.
    pub(super) fn zone(&self) -> &Zone {
        &self.call.zone
    }

    /// An argument of the kind `text` as a regular expression, made once a batch.
    pub(super) fn pattern(&self, i: usize) -> Result<Pattern, Error> {
        let text = self.text(i);
        if let Some(known) = self.call.patterns.borrow().get(text) {
            return Ok(known.clone());
        }
        let made = Pattern::new(text)?;
        self.call.patterns.borrow_mut().insert(text.to_owned(), made.clone());
        Ok(made)
    }
}

struct Registered {
    name: &'static str,
    function: &'static Function,
    signature: Signature,
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Registered {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Registered {}

impl Hash for Registered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Registered {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    // The arguments stay what they are: `columns` brings them to their kinds, by Spark's rules.
    fn coerce_types(&self, arguments: &[DataType]) -> PlanResult<Vec<DataType>> {
        let arity = self.function.arity();
        if !arity.contains(&arguments.len()) {
            return Err(super::registry::wrong_count(self.name, &arity, arguments.len()).into());
        }
        let kinds = self.function.parameters(arguments.len());
        for (at, (kind, given)) in kinds.iter().zip(arguments).enumerate() {
            if !kind.accepts(given) {
                let what = format!(
                    "{}() takes {} as argument {}, not {}",
                    self.name,
                    kind.words(),
                    at + 1,
                    types::spark_name(given).to_uppercase()
                );
                return Err(Error::sql("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", what)
                    .hint("convert with CAST(value AS TYPE)")
                    .into());
            }
        }
        Ok(arguments.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        exec_err!("{} has a type only with its arguments", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        for (kind, value) in self.function.parameters(types.len()).iter().zip(args.scalar_arguments)
        {
            match (kind, value) {
                (Kind::Pattern, Some(ScalarValue::Utf8(Some(pattern)))) => {
                    TimePattern::to_write(pattern)?;
                }
                (Kind::Collation, Some(ScalarValue::Utf8(Some(name)))) => {
                    super::text::known_collation(name)?;
                }
                _ => {}
            }
        }
        let gives = match self.function.gives {
            Gives::Text => DataType::Utf8,
            Gives::Texts => texts_type(),
            Gives::Bytes => DataType::Binary,
            Gives::Bool => DataType::Boolean,
            Gives::Int => DataType::Int32,
            Gives::Long => DataType::Int64,
            Gives::Double => DataType::Float64,
            Gives::Date => DataType::Date32,
            Gives::Time => types::timestamp(),
            Gives::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Gives::Of(of) => of(&types, args.scalar_arguments),
        };
        Ok(Arc::new(Field::new(self.name, gives, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let constant = constant && !self.function.volatile && args.number_rows > 0;
        let rows = if constant { 1 } else { args.number_rows };
        let zone = session_zone(&args.config_options)?;
        let kinds = self.function.parameters(args.args.len());
        let mut columns = Vec::with_capacity(kinds.len());
        for (value, kind) in args.args.iter().zip(&kinds) {
            columns.push(Column::new(value, *kind, &zone)?);
        }
        let types = args.args.iter().map(ColumnarValue::data_type).collect();
        let gives = args.return_field.data_type();
        let call = Call { columns, types, gives, zone, patterns: RefCell::default() };
        let mut values = Vec::with_capacity(rows);
        let mut bytes = 0;
        for row in 0..rows {
            let row = Row { call: &call, row };
            let null = !self.function.sees_nulls && (0..row.len()).any(|i| row.is_null(i));
            let value = if null { Value::Null } else { (self.function.answer)(&row)? };
            bytes += value.size();
            if bytes > MOST_BYTES {
                let what = format!("the texts of one batch get longer than {MOST_BYTES} bytes");
                return Err(too_long(what).into());
            }
            values.push(value);
        }
        let array = built(values, gives)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// The type of an array of text.
pub(super) fn texts_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

/// An argument has a value that the function refuses.
pub(super) fn refused(condition: &'static str, what: String) -> Error {
    Error::input(condition, what).hint("correct the argument, or filter such rows out before")
}

/// The width of a whole number.
pub(super) fn bits(data_type: &DataType) -> i64 {
    data_type.primitive_width().map_or(64, |bytes| bytes as i64 * 8)
}
