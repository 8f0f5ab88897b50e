//! Which type an operation gives, and to which type its arguments are brought first: Spark's ANSI rules.
//!
//! Only types are looked at here, never a value; a whole-number literal beside a decimal counts with
//! the digits that it has, so its caller passes the narrow decimal type.

use arrow::datatypes::DataType;
use datafusion::logical_expr::Operator;

use super::types;

/// The most digits of a DECIMAL.
pub(super) const MAX_PRECISION: u8 = 38;
/// Digits after the point that a result keeps when it has more digits than fit.
const MIN_KEPT_SCALE: i32 = 6;

/// The DECIMAL that holds every value of a whole-number type.
pub(super) fn decimal_of_integer(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Int64 => (20, 0),
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => return None,
    })
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..))
}

/// A type that `+ - * / %` compute with.
pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_signed_integer() || data_type.is_floating() || is_decimal(data_type)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The common type of two numbers.
fn wider_number(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as D;
    if a == b {
        return Some(a.clone());
    }
    let rank = |t: &D| [D::Int8, D::Int16, D::Int32, D::Int64].iter().position(|x| x == t);
    Some(match (a, b) {
        (D::Float64, _) | (_, D::Float64) => D::Float64,
        // Not every whole number is a FLOAT.
        (D::Float32, _) | (_, D::Float32) => D::Float64,
        _ => match (rank(a), rank(b)) {
            (Some(x), Some(y)) => {
                if x < y {
                    b.clone()
                } else {
                    a.clone()
                }
            }
            _ => {
                let ((p1, s1), (p2, s2)) = (decimal_of_integer(a)?, decimal_of_integer(b)?);
                wider_decimal((p1, s1), (p2, s2))
            }
        },
    })
}

/// The DECIMAL that holds the digits of both before and after the point; where there are too many,
/// those after the point give way.
fn wider_decimal((p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> DataType {
    let scale = i32::from(s1.max(s2));
    let whole = (i32::from(p1) - i32::from(s1)).max(i32::from(p2) - i32::from(s2));
    let max = i32::from(MAX_PRECISION);
    if whole + scale <= max {
        return decimal(whole + scale, scale);
    }
    decimal(max, (max - whole).max(0))
}

fn decimal(precision: i32, scale: i32) -> DataType {
    let fit = |n: i32| n.clamp(0, i32::from(MAX_PRECISION));
    DataType::Decimal128(fit(precision).max(1) as u8, fit(scale) as i8)
}

/// The type to which the branches of a CASE, the items of a list, or the sides of a comparison are
/// brought; `None`: they have none in common.
pub(super) fn common_type(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as D;
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (D::Null, other) | (other, D::Null) => Some(other.clone()),
        (a, b) if is_text(a) && is_text(b) => Some(D::Utf8),
        (text, other) | (other, text) if is_text(text) => text_meets(other),
        (a, b) if is_number(a) && is_number(b) => wider_number(a, b),
        (D::Date32, D::Timestamp(..)) => Some(b.clone()),
        (D::Timestamp(..), D::Date32) => Some(a.clone()),
        (D::Timestamp(..), D::Timestamp(..)) => Some(types::timestamp()),
        (D::List(x), D::List(y)) => {
            let item = common_type(x.data_type(), y.data_type())?;
            let field = x.as_ref().clone().with_data_type(item).with_nullable(true);
            Some(D::List(field.into()))
        }
        (D::Map(x, _), D::Map(y, _)) => {
            let entries = common_type(x.data_type(), y.data_type())?;
            Some(D::Map(x.as_ref().clone().with_data_type(entries).into(), false))
        }
        (D::Struct(x), D::Struct(y)) if x.len() == y.len() => {
            let fields = x.iter().zip(y).map(|(x, y)| {
                let data_type = common_type(x.data_type(), y.data_type())?;
                let nullable = x.is_nullable() || y.is_nullable();
                let same = x.name().eq_ignore_ascii_case(y.name());
                same.then(|| x.as_ref().clone().with_data_type(data_type).with_nullable(nullable))
            });
            Some(D::Struct(fields.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// What a text becomes beside another type.
fn text_meets(other: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match other {
        other if other.is_signed_integer() => D::Int64,
        other if is_number(other) => D::Float64,
        D::Date32 | D::Timestamp(..) | D::Boolean | D::Binary => other.clone(),
        _ => return None,
    })
}

/// What `a op b` computes with and gives. Decimals keep their own types as arguments.
#[derive(Debug, PartialEq)]
pub(super) struct Computation {
    pub(super) left: DataType,
    pub(super) right: DataType,
    pub(super) result: DataType,
}

/// The types of `+ - * / %` and DIV over two numbers; `None`: not an operation on numbers.
pub(super) fn arithmetic(op: Operator, a: &DataType, b: &DataType) -> Option<Computation> {
    use DataType as D;
    let as_number = |own: &D, other: &D| match own {
        D::Null if is_number(other) => Some(other.clone()),
        D::Null if is_text(other) || *other == D::Null => Some(D::Float64),
        // Two texts do not say which number they mean.
        own if is_text(own) => match other {
            D::Null => Some(D::Float64),
            other if is_number(other) => text_meets(other),
            _ => None,
        },
        own if is_number(own) => Some(own.clone()),
        _ => None,
    };
    let (a, b) = (as_number(a, b)?, as_number(b, a)?);
    let same = |t: D| Computation { left: t.clone(), right: t.clone(), result: t };
    let decimals = (is_decimal(&a) || is_decimal(&b)) && !a.is_floating() && !b.is_floating();
    if decimals {
        let ((p1, s1), (p2, s2)) = (decimal_of_integer(&a)?, decimal_of_integer(&b)?);
        let (left, right) = (D::Decimal128(p1, s1), D::Decimal128(p2, s2));
        let result = match op {
            Operator::IntegerDivide => D::Int64,
            _ => decimal_result(op, (p1, s1), (p2, s2))?,
        };
        return Some(Computation { left, right, result });
    }
    let wider = wider_number(&a, &b)?;
    Some(match op {
        Operator::Divide => same(D::Float64),
        Operator::IntegerDivide if wider.is_floating() => return None,
        Operator::IntegerDivide => same(D::Int64),
        _ => same(wider),
    })
}

/// The type of `-a`; a text counts as a DOUBLE.
pub(super) fn negated(a: &DataType) -> Option<DataType> {
    match a {
        DataType::Null => Some(DataType::Float64),
        a if is_text(a) => Some(DataType::Float64),
        a if is_number(a) => Some(a.clone()),
        _ => None,
    }
}

/// Precision and scale of a result, before and after they are made to fit.
pub(super) fn decimal_result(
    op: Operator,
    (p1, s1): (u8, i8),
    (p2, s2): (u8, i8),
) -> Option<DataType> {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let (precision, scale) = match op {
        Operator::Plus | Operator::Minus => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        Operator::Multiply => (p1 + p2 + 1, s1 + s2),
        Operator::Divide => {
            let scale = MIN_KEPT_SCALE.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        Operator::Modulo => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
        _ => return None,
    };
    let max = i32::from(MAX_PRECISION);
    if precision <= max {
        return Some(decimal(precision, scale));
    }
    let whole = precision - scale;
    Some(decimal(max, (max - whole).max(scale.min(MIN_KEPT_SCALE))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::Decimal128 as Dec;

    #[test]
    fn decimals_widen_by_the_operation() {
        let result = |op, a, b| decimal_result(op, a, b).unwrap();
        assert_eq!(result(Operator::Plus, (8, 2), (8, 2)), Dec(9, 2));
        assert_eq!(result(Operator::Multiply, (8, 2), (8, 2)), Dec(17, 4));
        assert_eq!(result(Operator::Divide, (8, 2), (1, 0)), Dec(12, 6));
        assert_eq!(result(Operator::Modulo, (10, 2), (5, 4)), Dec(5, 4));
        assert_eq!(result(Operator::Multiply, (38, 18), (38, 18)), Dec(38, 6));
        assert_eq!(result(Operator::Plus, (38, 10), (38, 0)), Dec(38, 6));
    }

    #[test]
    fn text_becomes_what_it_meets() {
        assert_eq!(common_type(&DataType::Utf8, &DataType::Int32), Some(DataType::Int64));
        assert_eq!(common_type(&Dec(2, 1), &DataType::Utf8), Some(DataType::Float64));
        assert_eq!(common_type(&DataType::Date32, &DataType::Utf8), Some(DataType::Date32));
        assert_eq!(common_type(&DataType::Date32, &DataType::Int32), None);
        assert_eq!(common_type(&DataType::Int32, &Dec(2, 1)), Some(Dec(11, 1)));
    }
}
