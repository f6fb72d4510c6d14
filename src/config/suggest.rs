//! Which known name an unknown one was probably meant to be.
//!
//! In: a name that nothing knows, and the names that are known. Out: the nearest of them, if it is near enough to be a
//! slip of the hand: one edit in short names, one in three letters in long ones. Case and `-` against `_` do not count:
//! `closeCode` and `close-code` are `close_code`.

/// The known name that `name` was probably meant to be.
pub(super) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // No known name is longer than this, and the cost of a comparison grows with the product of the lengths.
    if name.chars().count() > 64 {
        return None;
    }
    let name = folded(name);
    let limit = (name.len() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(&name, &folded(candidate)), candidate))
        .filter(|&(edits, _)| edits <= limit)
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, candidate)| candidate)
}

fn folded(name: &str) -> Vec<char> {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that make `a` of `b` (Damerau, restricted).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, &to) in b.iter().enumerate() {
            row[j + 1] = (last[j] + usize::from(from != to))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["balance", "drain", "close_code", "retry", "connect_timeout"];

    #[test]
    fn a_slip_of_the_hand_is_recognised() {
        for (written, meant) in [
            ("balanse", "balance"),
            ("blaance", "balance"),
            ("drian", "drain"),
            ("closeCode", "close_code"),
            ("Close-Code", "close_code"),
            ("retrys", "retry"),
            ("connection_timeout", "connect_timeout"),
        ] {
            assert_eq!(nearest(written, KEYS), Some(meant), "{written}");
        }
    }

    #[test]
    fn another_word_is_not_taken_for_a_slip() {
        for written in ["tls", "", "weight", "x", &"balance".repeat(100)] {
            assert_eq!(nearest(written, KEYS), None, "{written}");
        }
    }
}
