//! The table: medians, their spread, and ratios.
//!
//! In: jobs, columns, results, and by job the ratio that a budget speaks of where it was measured closely. Out: Markdown that is
//! also readable as text. A cell reads `12.3 ±4% ×1.07`: the median of the rounds, half the distance between the lowest and the
//! highest round, and the ratio to the best peer of the row (floors and Longhaul are compared with the best peer, but are never it).

use crate::{
    job::Job,
    plan::{Budget, Row},
    rounds::{self, ABSENT, Cells, Column, Results},
};

/// Text in columns.
pub(crate) struct Table {
    lines: Vec<Vec<String>>,
    /// Why a cell has no figure.
    pub(crate) notes: Vec<String>,
}

/// A row with its figures, one per column.
struct Line {
    row: Row,
    figures: Vec<Option<Figure>>,
    best: Option<usize>,
}

/// The median of the rounds and their spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    /// Half the distance between lowest and highest, as a part of the median.
    spread: f64,
}

impl Figure {
    pub(crate) fn of(rounds: &[f64]) -> Option<Self> {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        let spread = if median == 0.0 {
            0.0
        } else {
            (high - low) / 2.0 / median.abs()
        };
        Some(Self { median, spread })
    }
}

impl Table {
    pub(crate) fn new(jobs: &[Job], columns: &[Column], results: &Results, ratios: &[Option<f64>]) -> Self {
        let mut head = vec!["figure".to_owned(), "unit".to_owned()];
        head.extend(columns.iter().map(|column| column.name().to_owned()));
        head.extend(["best peer", "budget of Longhaul"].map(str::to_owned));
        let mut notes = Vec::new();
        let mut texts = vec![head];
        for ((job, cells), ratio) in jobs.iter().zip(&results.values).zip(ratios) {
            for (index, row) in job.rows().into_iter().enumerate() {
                texts.push(Line::new(row, index, columns, cells).text(columns, cells, *ratio));
            }
            for (column, cells) in columns.iter().zip(cells) {
                notes.extend(cells.failure.as_ref().map(|failure| note(column, *job, failure)));
            }
        }
        notes.sort();
        notes.dedup();
        Self { lines: texts, notes }
    }

    /// Padded Markdown.
    pub(crate) fn markdown(&self) -> String {
        let width = |column: usize| {
            self.lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.lines[0].len()).map(width).collect();
        let line = |cells: &[String]| {
            let cells: Vec<_> = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let body: String = self.lines[1..].iter().map(|cells| line(cells)).collect();
        format!("{}{}{body}", line(&self.lines[0]), line(&rule))
    }
}

impl Line {
    fn new(row: Row, index: usize, columns: &[Column], cells: &[Cells]) -> Self {
        let figures = cells.iter().map(|cells| cells.figure(index)).collect();
        let best = best(&row, index, columns, cells);
        Self { row, figures, best }
    }

    fn median(&self, column: usize) -> Option<f64> {
        self.figures[column].map(|figure| figure.median)
    }

    /// As cells of text.
    fn text(&self, columns: &[Column], cells: &[Cells], ratio: Option<f64>) -> Vec<String> {
        let best = self.best.and_then(|best| self.median(best));
        let mut texts = vec![self.row.title.clone(), self.row.unit.to_owned()];
        texts.extend(
            self.figures
                .iter()
                .zip(cells)
                .map(|(figure, cells)| match (figure, &cells.failure) {
                    (_, Some(failure)) if failure == ABSENT => failure.clone(),
                    (_, Some(_)) => "failed".to_owned(),
                    (None, None) => "-".to_owned(),
                    (Some(figure), None) => cell(*figure, best),
                }),
        );
        texts.push(self.best.map_or("-", |best| columns[best].name()).to_owned());
        texts.push(self.verdict(columns, ratio).unwrap_or_default());
        texts
    }

    /// Whether Longhaul keeps its budget.
    fn verdict(&self, columns: &[Column], ratio: Option<f64>) -> Option<String> {
        let (text, factor, ratio) = match self.row.budget? {
            Budget::OfNginx(factor) => (format!("<= {factor} x nginx"), factor, ratio),
            Budget::OfBest(factor) => (format!("<= {factor} x best"), factor, ratio),
            Budget::OfJobAbove(factor) => (format!("<= {factor} x own with 4"), factor, ratio),
            Budget::Absolute(limit) => {
                let longhaul = rounds::position(columns, "Longhaul");
                let own = longhaul.and_then(|column| self.median(column));
                (format!("<= {limit}"), 1.0, own.map(|own| own / limit))
            }
        };
        Some(match ratio {
            None => format!("{text}: not measured"),
            Some(ratio) if ratio <= factor => format!("{text}: {ratio:.3}, kept"),
            Some(ratio) => format!("{text}: {ratio:.3}, MISSED"),
        })
    }
}

/// The best peer of a row, of those that did the job in all rounds.
pub(crate) fn best(row: &Row, index: usize, columns: &[Column], cells: &[Cells]) -> Option<usize> {
    let median = |column: usize| Some(cells[column].figure(index)?.median);
    let rivals = (0..columns.len()).filter_map(|column| {
        let counts = columns[column].is_rival() && cells[column].failure.is_none();
        let median = median(column).filter(|_| counts)?;
        Some((column, if row.lower_is_better { median } else { -median }))
    });
    let (column, _) = rivals.min_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(column)
}

impl Cells {
    fn figure(&self, row: usize) -> Option<Figure> {
        Figure::of(self.rows.get(row)?)
    }
}

/// An absent peer is told once, a failed one for each job.
fn note(column: &Column, job: Job, failure: &str) -> String {
    if failure == ABSENT {
        return format!("{}: not installed", column.name());
    }
    format!("{}: {}: {failure}", column.name(), job.rows()[0].title)
}

fn cell(figure: Figure, best: Option<f64>) -> String {
    let ratio = best
        .filter(|best| *best > 0.0)
        .map(|best| format!(" ×{:.2}", figure.median / best));
    format!(
        "{} ±{:.0}%{}",
        number(figure.median),
        figure.spread * 100.0,
        ratio.unwrap_or_default()
    )
}

fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_with_half_the_range() {
        assert_eq!(
            Figure::of(&[12.0, 8.0, 10.0]),
            Some(Figure {
                median: 10.0,
                spread: 0.2
            })
        );
        assert_eq!(
            Figure::of(&[1.0, 3.0]),
            Some(Figure {
                median: 2.0,
                spread: 0.5
            })
        );
        assert_eq!(Figure::of(&[]), None);
    }

    #[test]
    fn a_budget_is_kept_missed_or_not_measured() {
        let verdict = |budget, ratio| {
            let row = Row {
                title: String::new(),
                unit: "us",
                lower_is_better: true,
                budget,
            };
            Line::new(row, 0, &[], &[]).verdict(&[], ratio)
        };
        let budget = Some(Budget::OfNginx(0.95));
        let kept = Some("<= 0.95 x nginx: 0.950, kept".to_owned());
        assert_eq!(verdict(budget, Some(0.95)), kept);
        let missed = Some("<= 0.95 x nginx: 0.951, MISSED".to_owned());
        assert_eq!(verdict(budget, Some(0.951)), missed);
        assert_eq!(
            verdict(budget, None),
            Some("<= 0.95 x nginx: not measured".to_owned())
        );
        assert_eq!(verdict(None, Some(0.5)), None);
    }

    #[test]
    fn numbers_keep_about_three_digits() {
        assert_eq!(
            ["1.23", "12.3", "123"],
            [1.234, 12.34, 123.4].map(number).each_ref().map(String::as_str)
        );
    }
}
