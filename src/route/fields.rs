//! The `headers:` and `query:` of a route's match, and whether a request has what they ask for.
//!
//! A header matches on the bytes of one field line. A query parameter matches after percent-decoding, `+` as a space:
//! clients may escape as they like, and a rule must not be missed because of it.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::PatternError;

/// A header field or a query parameter that must be there, or must have a value.
///
/// Where a name occurs several times, one of them must match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldMatch {
    name: Box<str>,
    value: Option<Box<str>>,
}

impl FieldMatch {
    /// A header field: its name in any case, and the whole of its value if it must have one.
    pub fn header(name: &str, value: Option<&str>) -> Result<Self, PatternError> {
        let field =
            HeaderName::try_from(name).map_err(|_| PatternError::Field(name.to_owned(), "header name"))?;
        if let Some(value) = value {
            // What a parser strips from around a value can never be matched.
            let trimmed = value.trim_matches([' ', '\t']) == value;
            if !trimmed || HeaderValue::from_str(value).is_err() {
                return Err(PatternError::Field(value.to_owned(), "header value"));
            }
        }
        Ok(Self {
            name: field.as_str().into(),
            value: value.map(Into::into),
        })
    }

    /// A query parameter, name and value as they are after percent-decoding.
    pub fn query(name: &str, value: Option<&str>) -> Result<Self, PatternError> {
        if name.is_empty() {
            return Err(PatternError::Field(name.to_owned(), "query parameter"));
        }
        Ok(Self {
            name: name.into(),
            value: value.map(Into::into),
        })
    }

    /// Whether one line of the header field has the value.
    pub(super) fn in_headers(&self, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(&*self.name).iter();
        match &self.value {
            Some(value) => lines.any(|line| line.as_bytes() == value.as_bytes()),
            None => lines.next().is_some(),
        }
    }

    /// Whether one parameter of the name has the value.
    pub(super) fn in_query(&self, query: &str) -> bool {
        query.split('&').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            decoded(name).eq(self.name.bytes())
                && self
                    .value
                    .as_ref()
                    .is_none_or(|wanted| decoded(value).eq(wanted.bytes()))
        })
    }

    pub(super) fn has_value(&self) -> bool {
        self.value.is_some()
    }
}

impl fmt::Display for FieldMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The bytes that an escaped text stands for; a malformed escape stands for itself.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        rest = after;
        if first == b'%'
            && let Some((escape, after)) = after.split_at_checked(2)
        {
            let digit = |at: usize| char::from(escape[at]).to_digit(16);
            if let (Some(high), Some(low)) = (digit(0), digit(1)) {
                rest = after;
                return u8::try_from(high << 4 | low).ok();
            }
        }
        Some(if first == b'+' { b' ' } else { first })
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn query(name: &str, value: Option<&str>) -> FieldMatch {
        FieldMatch::query(name, value).unwrap()
    }

    #[test]
    fn a_query_matches_whichever_way_it_is_escaped() {
        let room = query("room", Some("a b&ü"));
        for text in [
            "room=a%20b%26%C3%BC",
            "room=a+b%26%c3%bc",
            "x=1&ro%6fm=a%20b%26%C3%BC",
            "room=&room=a+b%26ü",
        ] {
            assert!(room.in_query(text), "{text}");
        }
        for text in [
            "",
            "room",
            "room=a",
            "room=a b",
            "room=a+b%26",
            "Room=a%20b%26%C3%BC",
            "xroom=a+b%26ü",
        ] {
            assert!(!room.in_query(text), "{text}");
        }
    }

    #[test]
    fn a_query_parameter_is_present_without_a_value() {
        for text in ["debug", "debug=", "a=1&debug&b=2", "debug=1"] {
            assert!(query("debug", None).in_query(text), "{text}");
        }
        assert!(!query("debug", None).in_query("debugging=1&x=debug"));
        assert!(query("debug", Some("")).in_query("debug"));
        assert!(!query("debug", Some("")).in_query("debug=1"));
    }

    #[test]
    fn a_malformed_escape_stands_for_itself() {
        assert!(query("a", Some("%")).in_query("a=%"));
        assert!(query("a", Some("%zz%4")).in_query("a=%zz%4"));
        assert!(query("a", Some("%+")).in_query("a=%%2B"));
    }

    #[test]
    fn one_of_several_header_lines_is_enough() {
        let mut headers = HeaderMap::new();
        headers.append("x-env", HeaderValue::from_static("beta"));
        headers.append("x-env", HeaderValue::from_static("a, b"));
        let header = |value| FieldMatch::header("X-Env", value).unwrap();
        assert!(header(None).in_headers(&headers));
        assert!(header(Some("beta")).in_headers(&headers));
        assert!(header(Some("a, b")).in_headers(&headers));
        assert!(!header(Some("Beta")).in_headers(&headers));
        assert!(!header(Some("a")).in_headers(&headers), "a list is one value");
        assert!(!FieldMatch::header("x-en", None).unwrap().in_headers(&headers));
    }
}
