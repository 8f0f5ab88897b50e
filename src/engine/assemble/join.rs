//! A join of two streams, as a stage.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join as JoinNode, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;

use super::about::{About, text};
use super::first_rows::two_event_times;
use super::{Cutter, Inflow};
use crate::error::{Error, Result};
use crate::operators::join::side::{Arriving, Expires, JoinSide};
use crate::operators::join::{Band, Join, JoinKind};
use crate::sql::{Expiry, JoinKey, Reach, StreamJoin};

/// One side of a join.
struct PlannedSide {
    plan: Arc<dyn ExecutionPlan>,
    side: JoinSide,
    /// The column of event time by which its rows are let go.
    time: Option<usize>,
    inflow: Inflow,
}

impl Cutter<'_> {
    /// Two plans that give each side's columns, its keys and whether its own condition holds.
    pub(super) fn join(&mut self, node: &JoinNode) -> Result<LogicalPlan> {
        let kind = kind(node.join_type)?;
        let mut goes_by = StreamJoin::of(node);
        if goes_by.event_times.iter().any(|times| times.len() > 1) {
            return Err(two_event_times());
        }
        if goes_by.keys.is_empty() {
            return Err(Error::sql(
                "_LEGACY_ERROR_TEMP_1181",
                "a join of two streams needs a column of one that is equal to a column of the other",
            )
            .hint("write ON l.id = r.id, and the other conditions behind it with AND"));
        }
        let is_full = kind == JoinKind::Full;
        let inputs = [node.left.as_ref(), node.right.as_ref()];
        let left = self.side(&goes_by, 0, inputs[0], is_full)?;
        let right = self.side(&goes_by, 1, inputs[1], is_full)?;
        let band = left.time.zip(right.time).and_then(|(left, right)| {
            let (least_us, most_us) = goes_by.take_band(node, [left, right]);
            let is_one = least_us.is_some() || most_us.is_some();
            is_one.then_some(Band { least_us, most_us })
        });
        let residual = match conjunction(std::mem::take(&mut goes_by.residual)) {
            Some(residual) => {
                let both: DFSchema = node.left.schema().join(node.right.schema())?;
                Some(self.planner.expression(&residual, &both)?)
            }
            None => None,
        };
        let output: SchemaRef = Arc::new(node.schema.as_arrow().clone());
        let key = |key: &JoinKey| [text(&key.sides[0]), text(&key.sides[1])];
        let event_time = |side: usize| {
            let column = goes_by.event_times[side].first()?;
            Some(inputs[side].schema().field(*column).name().clone())
        };
        let about = About::Join {
            kind,
            keys: goes_by.keys.iter().map(key).collect(),
            event_times: [event_time(0), event_time(1)],
            expires: [left.side.rule(), right.side.rule()],
        };
        let operator = Join::new(kind, [left.side, right.side], band, residual, output);
        Ok(self.stage(
            vec![left.plan, right.plan],
            vec![left.inflow, right.inflow],
            operator,
            about,
            &inputs,
            &node.schema,
        ))
    }

    /// The plan of one side, and what the operator makes of it.
    fn side(
        &mut self,
        goes_by: &StreamJoin,
        side: usize,
        input: &LogicalPlan,
        is_full: bool,
    ) -> Result<PlannedSide> {
        let schema = input.schema();
        let own = schema.fields().len();
        let mut columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
        let mut twins = vec![None; own];
        for (number, key) in goes_by.keys.iter().enumerate() {
            let expr = &key.sides[side];
            if let Expr::Column(column) = expr {
                let at = schema.index_of_column(column)?;
                // A float among the keys is kept in the one form in which it is compared.
                if twins[at].is_none() && !holds_floats(schema.field(at).data_type()) {
                    twins[at] = Some(number);
                }
            }
            columns.push(expr.clone().alias(format!("key {number}: {}", expr.schema_name())));
        }
        let own_condition = conjunction(goes_by.own[side].iter().cloned());
        let holds = own_condition.is_some();
        columns.extend(own_condition.map(|condition| condition.alias("holds alone")));
        let late = goes_by.event_times[side].first().copied();
        let late_by = late.map(|late| Expr::Column(schema.columns()[late].clone()));
        let (counted, inflow) = self.arriving(input, late_by, None)?;
        let plan = LogicalPlanBuilder::from(counted).project(columns)?.build()?;
        let plan = self.planner.plan(&plan)?;
        let (time, expires) = match goes_by.expiry[side] {
            Some(Expiry::Key(key)) => {
                (Some(own + key), Some(Expires { behind_ms: Some(0), at_most_ms: None }))
            }
            Some(Expiry::Time(time, Reach { behind_ms, at_most_ms })) => {
                (Some(time), Some(Expires { behind_ms, at_most_ms }))
            }
            None => (late, None),
        };
        // In a full outer join of Spark's two NULLs are equal even for `=`: nothing has filtered them.
        let null_equal = goes_by.keys.iter().map(|key| key.null_equal || is_full).collect();
        let schema = plan.schema();
        let arriving = Arriving { schema, own, null_equal, twins, late, time, holds };
        Ok(PlannedSide { plan, side: JoinSide::new(arriving, expires), time, inflow })
    }
}

fn kind(join_type: JoinType) -> Result<JoinKind> {
    Ok(match join_type {
        JoinType::Inner => JoinKind::Inner,
        JoinType::Left => JoinKind::Left,
        JoinType::Right => JoinKind::Right,
        JoinType::Full => JoinKind::Full,
        JoinType::LeftSemi => JoinKind::LeftSemi,
        other => {
            return Err(Error::internal(format!("a {other} join of two streams was let through")));
        }
    })
}

fn holds_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|f| holds_floats(f.data_type())),
        other => other.is_floating(),
    }
}
