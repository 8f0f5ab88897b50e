//! Where rows come from: takes, while files are decoded, the line of each row; gives the file and
//! line of a row by its number. Costs nothing a row as long as each line is one: what is kept is
//! where that ends.

use std::sync::Arc;

/// Where a row stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as the user would name it.
    pub file: Arc<str>,
    /// Its line, from 1; in a file without lines the number of the row, from 1.
    pub line: u64,
}

/// The places of the rows of one read, by their numbers from 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Places {
    rows: u64,
    /// The first row of each file.
    files: Vec<(u64, Arc<str>)>,
    runs: Vec<Run>,
}

/// Rows that follow each other on lines that do: row `row + n` stands on line `line + n * step`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    row: u64,
    line: u64,
    /// 0 where one line holds them all.
    step: u64,
}

impl Places {
    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The rows that follow are those of this file.
    pub(super) fn file(&mut self, file: &Arc<str>) {
        self.files.push((self.rows, file.clone()));
        self.runs.push(Run { row: self.rows, line: 1, step: 1 });
    }

    /// The next row stands on this line.
    #[inline]
    pub(super) fn row(&mut self, line: u64) {
        let row = self.rows;
        self.rows += 1;
        let Some(run) = self.runs.last_mut() else { return };
        if run.line + (row - run.row) * run.step == line {
            return;
        }
        if row == run.row {
            run.line = line;
        } else if row == run.row + 1 && line == run.line {
            run.step = 0;
        } else {
            self.runs.push(Run { row, line, step: 1 });
        }
    }

    /// So many rows stand on lines of their own, from the first one of the file on.
    pub(super) fn all(&mut self, file: &Arc<str>, rows: usize) {
        self.file(file);
        self.rows += rows as u64;
    }

    /// Puts the places of rows that were read after these behind them.
    pub(super) fn append(&mut self, after: Places) {
        let shift = self.rows;
        self.files.extend(after.files.into_iter().map(|(row, file)| (row + shift, file)));
        let runs = after.runs.into_iter();
        self.runs.extend(runs.map(|run| Run { row: run.row + shift, ..run }));
        self.rows += after.rows;
    }

    /// Where a row stands; `None`: there is no such row, or its source does not know.
    pub fn find(&self, row: u64) -> Option<Place> {
        // Of files without rows, which begin at the same one, the last is meant.
        let file = self.files.partition_point(|(first, _)| *first <= row).checked_sub(1)?;
        let run = self.runs.partition_point(|run| run.row <= row).checked_sub(1)?;
        let (run, (_, file)) = (self.runs.get(run)?, self.files.get(file)?);
        let line = run.line + (row - run.row) * run.step;
        (row < self.rows).then(|| Place { file: file.clone(), line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_with_a_row_a_line_takes_one_run() {
        let mut places = Places::default();
        places.file(&"a".into());
        (1..=1000).for_each(|line| places.row(line));
        assert_eq!(places.runs.len(), 1);
    }

    proptest! {
        /// Whatever lines are blank, dropped or hold several rows: each row is found where it was.
        #[test]
        fn each_row_is_found(files in prop::collection::vec(prop::collection::vec(0u64..4, 0..20), 0..6)) {
            let (mut whole, mut expected) = (Places::default(), vec![]);
            for (number, lines) in files.iter().enumerate() {
                let name: Arc<str> = format!("file {number}").into();
                let mut places = Places::default();
                places.file(&name);
                for (line, rows) in (1..).zip(lines) {
                    for _ in 0..*rows {
                        places.row(line);
                        expected.push(Place { file: name.clone(), line });
                    }
                }
                whole.append(places);
            }
            prop_assert_eq!(whole.rows(), expected.len() as u64);
            for (row, place) in (0..).zip(expected) {
                prop_assert_eq!(whole.find(row), Some(place));
            }
            prop_assert_eq!(whole.find(whole.rows()), None);
        }
    }
}
