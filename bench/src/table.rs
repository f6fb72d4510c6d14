//! The table: medians, their spread, and ratios.
//!
//! In: jobs, columns and results. Out: Markdown that is also readable as text. A cell reads `12.3 ±4% ×1.07`: the median of
//! the rounds, half the distance between the lowest and the highest round, and the ratio to the best peer of the row
//! (floors and Longhaul are compared with the best peer, but are never it).

use crate::{
    job::Job,
    plan::{Budget, Row},
    rounds::{ABSENT, Cells, Column, Results},
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
    pub(crate) fn new(jobs: &[Job], columns: &[Column], results: &Results) -> Self {
        let mut head = vec!["figure".to_owned(), "unit".to_owned()];
        head.extend(columns.iter().map(|column| column.name().to_owned()));
        head.extend(["best peer", "budget of Longhaul"].map(str::to_owned));
        let mut lines = Vec::new();
        let mut notes = Vec::new();
        let mut texts = vec![head];
        for (job, cells) in jobs.iter().zip(&results.values) {
            for (index, row) in job.rows().into_iter().enumerate() {
                lines.push(Line::new(row, index, columns, cells));
                texts.push(text(&lines, columns, cells));
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
        let figures: Vec<_> = cells
            .iter()
            .map(|cells| cells.rows.get(index).and_then(|rounds| Figure::of(rounds)))
            .collect();
        let rivals = (0..columns.len()).filter(|i| columns[*i].is_rival() && figures[*i].is_some());
        let better = |a: &usize, b: &usize| {
            let [a, b] = [a, b].map(|i| figures[*i].map_or(f64::NAN, |figure| figure.median));
            if row.lower_is_better {
                a.total_cmp(&b)
            } else {
                b.total_cmp(&a)
            }
        };
        let best = rivals.min_by(better);
        Self { row, figures, best }
    }

    fn median(&self, column: usize) -> Option<f64> {
        self.figures[column].map(|figure| figure.median)
    }
}

/// The last of `lines` as cells of text.
fn text(lines: &[Line], columns: &[Column], cells: &[Cells]) -> Vec<String> {
    let line = lines.last().expect("a line was pushed just now");
    let best = line.best.and_then(|best| line.median(best));
    let mut texts = vec![line.row.title.clone(), line.row.unit.to_owned()];
    texts.extend(
        line.figures
            .iter()
            .zip(cells)
            .map(|(figure, cells)| match (figure, &cells.failure) {
                (_, Some(failure)) if failure == ABSENT => failure.clone(),
                (_, Some(_)) => "failed".to_owned(),
                (None, None) => "-".to_owned(),
                (Some(figure), None) => cell(*figure, best),
            }),
    );
    texts.push(line.best.map_or("-", |best| columns[best].name()).to_owned());
    texts.push(verdict(lines, columns).unwrap_or_default());
    texts
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

/// Whether Longhaul keeps the budget of the last line.
fn verdict(lines: &[Line], columns: &[Column]) -> Option<String> {
    let line = lines.last()?;
    let column = |name: &str| columns.iter().position(|column| column.name() == name);
    let longhaul = column("Longhaul")?;
    let (limit, factor, what) = match line.row.budget? {
        Budget::OfNginx(factor) => (line.median(column("nginx")?), factor, "nginx"),
        Budget::OfBest(factor) => (line.best.and_then(|best| line.median(best)), factor, "best"),
        Budget::OfRowAbove(rows, factor) => (
            lines.get(lines.len().checked_sub(rows + 1)?)?.median(longhaul),
            factor,
            "own with 4",
        ),
        Budget::Absolute(limit) => (Some(limit), 1.0, "limit"),
    };
    let text = match line.row.budget? {
        Budget::Absolute(limit) => format!("<= {limit}"),
        _ => format!("<= {factor} x {what}"),
    };
    let ratio = line.median(longhaul).zip(limit).map(|(own, limit)| own / limit);
    Some(match ratio {
        None => text,
        Some(ratio) if ratio <= factor => format!("{text}: {ratio:.2}, kept"),
        Some(ratio) => format!("{text}: {ratio:.2}, MISSED"),
    })
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
    fn numbers_keep_about_three_digits() {
        assert_eq!(
            ["1.23", "12.3", "123"],
            [1.234, 12.34, 123.4].map(number).each_ref().map(String::as_str)
        );
    }
}
