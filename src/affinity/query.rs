//! One parameter of a query: what it means, and the query without part of it.
//!
//! In: a query as it came. Out: the value that its backend reads, and the same query with the end of that value, or all
//! of the parameter, cut out. Nothing else of it changes: nothing is decoded and encoded again.
//!
//! A parameter that is there twice is not read: who knows which one a backend takes.

use std::ops::Range;

/// How a name is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// As ASP.NET does.
    Any,
    Exact,
}

/// A parameter that occurs once.
#[derive(Debug)]
pub(super) struct Parameter<'q> {
    query: &'q str,
    /// The whole of it, name and all.
    whole: Range<usize>,
    /// What is after the `=`.
    value: Range<usize>,
    /// The value, percent-decoded.
    decoded: Vec<u8>,
}

/// Finds the parameter `name`.
pub(super) fn parameter<'q>(query: &'q str, name: &str, case: Case) -> Option<Parameter<'q>> {
    let mut found = None;
    let mut start = 0;
    for text in query.split('&') {
        let whole = start..start + text.len();
        start = whole.end + 1;
        let (key, _) = text.split_once('=').unwrap_or((text, ""));
        if !same(key, name, case) {
            continue;
        }
        if found.is_some() {
            return None;
        }
        let value = (whole.start + key.len() + 1).min(whole.end)..whole.end;
        found = Some((whole, value));
    }
    let (whole, value) = found?;
    let decoded = decode(&query[value.clone()]).map(|(_, byte)| byte).collect();
    Some(Parameter {
        query,
        whole,
        value,
        decoded,
    })
}

impl Parameter<'_> {
    /// The value as its backend reads it.
    pub(super) fn decoded(&self) -> &[u8] {
        &self.decoded
    }

    /// The query without the last `count` bytes of the decoded value.
    pub(super) fn shortened(&self, count: usize) -> String {
        let keep = self.decoded.len().saturating_sub(count);
        let raw = &self.query[self.value.clone()];
        let at = decode(raw).nth(keep).map_or(raw.len(), |(at, _)| at);
        let (start, end) = (self.value.start + at, self.value.end);
        [&self.query[..start], &self.query[end..]].concat()
    }

    /// The query without the parameter.
    pub(super) fn removed(&self) -> String {
        let before = self.query[..self.whole.start].trim_end_matches('&');
        let after = &self.query[self.whole.end..];
        match before {
            "" => after.trim_start_matches('&').to_owned(),
            _ => [before, after].concat(),
        }
    }
}

fn same(key: &str, name: &str, case: Case) -> bool {
    let key = decode(key).map(|(_, byte)| byte);
    match case {
        Case::Exact => key.eq(name.bytes()),
        Case::Any => key
            .map(|b| b.to_ascii_lowercase())
            .eq(name.bytes().map(|b| b.to_ascii_lowercase())),
    }
}

/// The bytes that an escaped text stands for, each with where it is in the text; a malformed escape stands for itself.
fn decode(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let here = at;
        let first = *bytes.get(here)?;
        let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        if first == b'%'
            && let (Some(high), Some(low)) = (digit(here + 1), digit(here + 2))
        {
            at += 3;
            return u8::try_from(high << 4 | low).ok().map(|byte| (here, byte));
        }
        at += 1;
        Some((here, if first == b'+' { b' ' } else { first }))
    })
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    fn value<'q>(query: &'q str, name: &str, case: Case) -> Option<Parameter<'q>> {
        parameter(query, name, case)
    }

    #[test]
    fn a_name_is_compared_as_its_backend_does() {
        for query in ["id=a", "x=1&id=a", "Id=a&x", "%69d=a", "id=%61"] {
            let found = value(query, "id", Case::Any).unwrap();
            assert_eq!(found.decoded(), b"a", "{query}");
        }
        for query in ["", "idx=a", "xid=a", "sid=a", "id=a&ID=b", "id=a&id=a"] {
            assert!(value(query, "id", Case::Any).is_none(), "{query}");
        }
        assert!(value("SID=a", "sid", Case::Exact).is_none());
        assert_eq!(value("sid", "sid", Case::Exact).unwrap().decoded(), b"");
    }

    #[test]
    fn the_end_of_a_value_is_cut_however_it_is_escaped() {
        for (query, count, cut) in [
            ("id=abc.tag", 4, "id=abc"),
            ("x=%20&id=ab%3D%3D.tag&y=+", 4, "x=%20&id=ab%3D%3D&y=+"),
            ("id=a%2Et%61g&y", 4, "id=a&y"),
            ("id=abc", 9, "id="),
        ] {
            assert_eq!(value(query, "id", Case::Any).unwrap().shortened(count), cut);
        }
    }

    #[test]
    fn a_parameter_goes_with_one_of_its_separators() {
        for (query, without) in [
            ("id=a", ""),
            ("id=a&x=1", "x=1"),
            ("x=1&id=a", "x=1"),
            ("x=1&id=a&y=2", "x=1&y=2"),
        ] {
            assert_eq!(value(query, "id", Case::Any).unwrap().removed(), without);
        }
    }

    proptest! {
        #[test]
        fn what_was_hung_on_is_cut_off_again(before in "([a-z%=+&]{0,9}&)?", id in "([a-z%=+]|%[0-9A-F]{2}){1,9}", after in "(&[a-z%=+&]{0,9})?", tag in "\\.[a-z]{4}") {
            let plain = format!("{before}SID={id}{after}");
            let tagged = format!("{before}SID={id}{tag}{after}");
            let found = value(&tagged, "SID", Case::Exact).unwrap();
            prop_assert_eq!(found.shortened(5), plain);
        }
    }
}
