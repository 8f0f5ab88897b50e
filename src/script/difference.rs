//! What was expected beside what came, line by line.
//!
//! Takes two lists of lines, gives pairs: lines that are in both stand beside each other, and
//! between them what is only in one.

/// A line that was expected, beside the one that came. Equal: as it should be; one is missing: the
/// other has no partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What was expected.
    pub expected: Option<String>,
    /// What came.
    pub got: Option<String>,
}

impl Pair {
    /// Whether it is as it should be.
    pub fn is_equal(&self) -> bool {
        self.expected == self.got
    }
}

/// A block of a script of which something else came than was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The line of the script where the block's first verb stands, from 1.
    pub line: usize,
    /// The verbs.
    pub verbs: Vec<String>,
    /// What was expected and what came, all of it.
    pub pairs: Vec<Pair>,
}

/// Puts lines beside each other: the longest common ones in their order, then what lies between, the
/// first that was expected beside the first that came, and so on.
pub fn align(expected: &[String], got: &[String]) -> Vec<Pair> {
    let longest = longest_common(expected, got);
    let (mut pairs, mut e, mut g) = (Vec::new(), 0, 0);
    let between = |pairs: &mut Vec<Pair>, expected: &[String], got: &[String]| {
        for row in 0..expected.len().max(got.len()) {
            pairs.push(Pair { expected: expected.get(row).cloned(), got: got.get(row).cloned() });
        }
    };
    for (at_e, at_g) in longest {
        between(&mut pairs, &expected[e..at_e], &got[g..at_g]);
        pairs.push(Pair { expected: Some(expected[at_e].clone()), got: Some(got[at_g].clone()) });
        (e, g) = (at_e + 1, at_g + 1);
    }
    between(&mut pairs, &expected[e..], &got[g..]);
    pairs
}

/// Where the lines of a longest common sequence stand in both.
fn longest_common(a: &[String], b: &[String]) -> Vec<(usize, usize)> {
    let width = b.len() + 1;
    // How long the longest is that begins at (i, j).
    let mut lengths = vec![0usize; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            lengths[i * width + j] = if a[i] == b[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut found, mut i, mut j) = (Vec::new(), 0, 0);
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            found.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_in_both_stands_side_by_side() {
        let shown: Vec<String> = align(&lines("head a b d"), &lines("head a c d e"))
            .iter()
            .map(|pair| {
                let text = |side: &Option<String>| side.clone().unwrap_or("·".into());
                format!("{}|{}", text(&pair.expected), text(&pair.got))
            })
            .collect();
        assert_eq!(shown, ["head|head", "a|a", "b|c", "d|d", "·|e"]);
    }

    proptest! {
        #[test]
        fn both_sides_are_whole_and_in_order(a in "[ab ]{0,12}", b in "[ab ]{0,12}") {
            let (a, b) = (lines(&a.replace("", " ")), lines(&b.replace("", " ")));
            let pairs = align(&a, &b);
            let left: Vec<String> = pairs.iter().filter_map(|p| p.expected.clone()).collect();
            let right: Vec<String> = pairs.iter().filter_map(|p| p.got.clone()).collect();
            prop_assert_eq!((left, right), (a, b));
        }
    }
}
