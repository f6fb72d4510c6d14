//! Durations and sizes as an operator writes them.
//!
//! In: `30s`, `1h 30m`, `0`; `16KiB`, `1MiB`, `4096`. Out: a [`Duration`] or a number of bytes, or an error that says
//! what to write. Promises: what [`show_duration`] and [`show_size`] write is read back as the same value; no text panics.
//!
//! Not here: which range a key allows ([`leaf`](super::leaf)).

use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DurationError {
    #[error("has no unit; write `{0}s` for seconds or `{0}ms` for milliseconds")]
    NoUnit(String),
    #[error("has the unknown unit `{0}`; use `ms`, `s`, `m`, `h` or `d`")]
    UnknownUnit(String),
    #[error("has two numbers in a row; give each its unit, as in `1h 30m`")]
    TwoNumbers,
    #[error("is too large or too precise; write at most ten digits and no less than `1ns`")]
    TooLarge,
    #[error("is no duration; write one such as `500ms`, `30s` or `1h 30m`")]
    NotADuration,
}

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SizeError {
    #[error("could mean 1000 or 1024; write `{0}iB`")]
    Ambiguous(char),
    #[error("has the unknown unit `{0}`; use `B`, `KiB`, `MiB` or `GiB`")]
    UnknownUnit(String),
    #[error("is too large to be a size")]
    TooLarge,
    #[error("is no size; write whole bytes such as `4096`, or `16KiB`")]
    NotASize,
}

/// Reads a duration: numbers with units, added up; a bare `0` is allowed.
pub(super) fn duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let mut longest_run = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c.is_ascii_digit() { run + 1 } else { 0 };
        longest_run = longest_run.max(run);
    }
    // The crate below would add up seconds until they overflow; so few digits in so short a text cannot.
    if text.len() > MAX_DURATION_TEXT || longest_run > MAX_DIGITS {
        return Err(DurationError::TooLarge);
    }
    // And it would read `1 30m` as 130 minutes.
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_number = |word: &str| word.chars().all(|c| c.is_ascii_digit() || c == '.');
    if words
        .windows(2)
        .any(|pair| is_number(pair[0]) && pair[1].starts_with(|c: char| c.is_ascii_digit()))
    {
        return Err(DurationError::TwoNumbers);
    }
    humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::UnknownUnit { unit, value, .. } if unit.is_empty() => {
            DurationError::NoUnit(if words.len() == 1 {
                text.to_owned()
            } else {
                value.to_string()
            })
        }
        humantime::DurationError::UnknownUnit { unit, .. } => DurationError::UnknownUnit(unit),
        humantime::DurationError::NumberOverflow => DurationError::TooLarge,
        _ => DurationError::NotADuration,
    })
}

/// Reads a size: whole bytes, or whole binary units of them.
pub(super) fn size(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    if number.is_empty() {
        return Err(SizeError::NotASize);
    }
    let factor: u64 = match unit {
        "" | "B" => 1,
        _ => match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, factor)) => *factor,
            None => return Err(wrong_unit(unit)),
        },
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or(SizeError::TooLarge)
}

/// A duration as [`duration`] reads it.
pub(super) fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A size as [`size`] reads it, in the largest unit that keeps it whole.
pub(super) fn show_size(bytes: u64) -> String {
    let whole = UNITS
        .iter()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    whole.map_or_else(
        || bytes.to_string(),
        |(name, factor)| format!("{}{name}", bytes / factor),
    )
}

fn wrong_unit(unit: &str) -> SizeError {
    let letter = unit.chars().next().map(|c| c.to_ascii_uppercase());
    match (letter, &unit.to_ascii_lowercase()[..]) {
        (Some(letter @ ('K' | 'M' | 'G')), "k" | "m" | "g" | "kb" | "mb" | "gb" | "ki" | "mi" | "gi") => {
            SizeError::Ambiguous(letter)
        }
        (_, lower) if lower.starts_with(|c: char| c.is_alphabetic()) => {
            SizeError::UnknownUnit(unit.to_owned())
        }
        _ => SizeError::NotASize,
    }
}

/// From the largest.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
/// Every unit once, with spaces.
const MAX_DURATION_TEXT: usize = 64;
/// 300 years in seconds.
const MAX_DIGITS: usize = 10;

#[cfg(test)]
mod tests;
