//! How the watermark goes from operator to operator.
//!
//! A query with several operators has one watermark, yet an operator further down may see it later:
//! a join that holds rows back for ten seconds gives rows that are ten seconds behind. So each
//! operator runs with the watermark of *its* rows: the least of what its inputs carry. The rule is
//! Spark's (SPARK-42376), and it is applied alike to the watermark that lets go and to the one
//! before, which says what is late.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;

use super::assemble::Stage;
use super::leaf::{Holds, Leaf};
use crate::sql::WatermarkNode;
use crate::time::Millis;

/// Where the watermark of an operator's input comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Whether rows come straight from a stream with a watermark.
    marked: bool,
    /// The stages whose rows come in.
    stages: Vec<usize>,
}

impl Upstream {
    /// What feeds an operator, from its inputs, whose own operators are leaves already.
    pub fn of<'a>(inputs: impl IntoIterator<Item = &'a LogicalPlan>) -> Self {
        let mut upstream = Self::default();
        for input in inputs {
            // Visiting a plan cannot fail when the visitor does not.
            let _ = input.apply(|node| {
                upstream.marked |= WatermarkNode::of(node).is_some();
                if let Some(Holds::Operator(stage)) = Leaf::holds(node) {
                    upstream.stages.push(stage);
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        upstream
    }

    /// Whether rows of another operator come in.
    pub fn has_operators(&self) -> bool {
        !self.stages.is_empty()
    }

    /// The watermark of the input, from the query's and from what the stages before give out.
    fn input_ms(&self, global_ms: Millis, outputs: &[Millis]) -> Millis {
        let stages = self.stages.iter().filter_map(|stage| outputs.get(*stage).copied());
        stages.chain(self.marked.then_some(global_ms)).min().unwrap_or(0)
    }
}

/// The numbers of the stages as one meets them from the sink on: each before those that feed it.
pub fn from_the_sink(stages: &[Stage]) -> Vec<usize> {
    let feeds_another = |number| stages.iter().any(|stage| stage.upstream.stages.contains(&number));
    let mut order = vec![];
    // The last to be visited lies on top.
    let mut open: Vec<usize> = (0..stages.len()).rev().filter(|n| !feeds_another(*n)).collect();
    while let Some(number) = open.pop() {
        order.push(number);
        open.extend(stages[number].upstream.stages.iter().rev());
    }
    order
}

/// The watermark of each stage's input when the query's is `global_ms`, in milliseconds.
pub fn input_watermarks_ms(stages: &[Stage], global_ms: Millis) -> Vec<Millis> {
    let (mut inputs, mut outputs) = (vec![], vec![]);
    for stage in stages {
        let input_ms = stage.upstream.input_ms(global_ms, &outputs);
        inputs.push(input_ms);
        outputs.push(stage.operator.output_watermark_ms(input_ms).max(0));
    }
    inputs
}
