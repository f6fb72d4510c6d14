//! The text of a request: path and query.
//!
//! In: names as the operator wrote them. Out: a request target in which nothing that they contain can become another
//! parameter or another path. What is not set is not sent: an agent of the community edition refuses a namespace.

use std::fmt::Write;

use tokio::time::Duration;

use super::{
    cursor::Ask,
    settings::{Scope, Wanted},
};

/// A request target, written piece by piece.
#[derive(Clone, Debug)]
pub(super) struct Target {
    text: String,
    separator: char,
    waits: Duration,
}

impl Target {
    /// A path of one or more fixed segments, such as `/v1/health/service`.
    pub(super) fn path(path: &str) -> Self {
        Self {
            text: path.to_owned(),
            separator: '?',
            waits: Duration::ZERO,
        }
    }

    /// One more segment, escaped.
    pub(super) fn segment(mut self, name: &str) -> Self {
        self.text.push('/');
        escape(name, &mut self.text);
        self
    }

    /// A parameter without a value.
    pub(super) fn flag(mut self, name: &str) -> Self {
        self.text.push(self.separator);
        self.separator = '&';
        self.text.push_str(name);
        self
    }

    /// A parameter, its value escaped.
    pub(super) fn with(self, name: &str, value: &str) -> Self {
        let mut target = self.flag(name);
        target.text.push('=');
        escape(value, &mut target.text);
        target
    }

    /// The parameters of a read.
    pub(super) fn asking(self, ask: Ask, wait: Duration) -> Self {
        let target = if ask.stale { self.flag("stale") } else { self };
        if ask.index == 0 {
            return target;
        }
        target.with("index", &ask.index.to_string()).waiting(wait)
    }

    /// To be answered when something has changed, or after so long.
    pub(super) fn waiting(self, wait: Duration) -> Self {
        let target = self.with("wait", &format!("{}ms", wait.as_millis()));
        Self {
            waits: wait,
            ..target
        }
    }

    /// How long its answer may be held back.
    pub(super) fn waits(&self) -> Duration {
        self.waits
    }

    /// Where in the registry.
    pub(super) fn within(self, scope: &Scope) -> Self {
        let parts = [
            ("dc", &scope.datacenter),
            ("ns", &scope.namespace),
            ("partition", &scope.partition),
        ];
        parts.into_iter().fold(self, |target, (name, value)| match value {
            Some(value) => target.with(name, value),
            None => target,
        })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// The instances of a service, whatever their health: "critical" is not "gone".
pub(super) fn instances(wanted: &Wanted, scope: &Scope) -> Target {
    let target = Target::path("/v1/health/service")
        .segment(&wanted.service)
        .within(scope);
    match filter(wanted) {
        Some(filter) => target.with("filter", &filter),
        None => target,
    }
}

/// Tags and expression in one: all tags must be there, and the expression must hold.
fn filter(wanted: &Wanted) -> Option<String> {
    let tags = wanted
        .tags
        .iter()
        .map(|tag| format!("{} in Service.Tags", quote(tag)));
    let own = wanted.filter.iter().map(|own| format!("({own})"));
    let parts: Vec<String> = tags.chain(own).collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// A string of the filter language, which knows no escapes but two kinds of quotes.
fn quote(text: &str) -> String {
    let mark = if text.contains('`') { '"' } else { '`' };
    format!("{mark}{text}{mark}")
}

/// RFC 3986, 2.3: all but unreserved characters.
pub(super) fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => write!(out, "%{byte:02X}").expect("a String takes all text"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STALE: Ask = Ask {
        index: 0,
        stale: true,
    };

    #[test]
    fn a_first_read_names_the_service_and_nothing_that_was_not_set() {
        let target = instances(&Wanted::service("chat"), &Scope::default());
        assert_eq!(
            target.asking(STALE, Duration::from_secs(45)).as_str(),
            "/v1/health/service/chat?stale"
        );
    }

    #[test]
    fn a_watch_waits_and_a_read_of_the_leader_is_not_stale() {
        let target = instances(&Wanted::service("chat"), &Scope::default());
        let ask = Ask {
            index: 7,
            stale: false,
        };
        let text = target.asking(ask, Duration::from_millis(1500));
        assert_eq!(text.as_str(), "/v1/health/service/chat?index=7&wait=1500ms");
    }

    #[test]
    fn tags_and_filter_are_one_expression_and_the_scope_is_passed_on() {
        let wanted = Wanted {
            tags: vec!["ws".into(), "a \"b\"".into(), "`".into()],
            filter: Some("Service.Meta.v == `2` or Service.Port > 1".into()),
            ..Wanted::service("a/b?c")
        };
        let scope = Scope {
            datacenter: Some("dc2".into()),
            namespace: Some("team&a".into()),
            partition: None,
        };
        let target = instances(&wanted, &scope);
        assert!(
            target
                .as_str()
                .starts_with("/v1/health/service/a%2Fb%3Fc?dc=dc2&ns=team%26a&filter="),
            "{target:?}"
        );
        assert_eq!(
            filter(&wanted).unwrap(),
            "`ws` in Service.Tags and `a \"b\"` in Service.Tags and \"`\" in Service.Tags and \
             (Service.Meta.v == `2` or Service.Port > 1)"
        );
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_place(name in any::<String>()) {
            let target = instances(&Wanted::service(&name), &Scope::default()).asking(STALE, Duration::ZERO);
            let rest = target.as_str().strip_prefix("/v1/health/service/").unwrap();
            let escaped = rest.strip_suffix("?stale").unwrap();
            prop_assert!(escaped.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        }
    }
}
