//! A `kubernetes` source: the pods behind a Service.

use std::num::NonZeroU16;

use discovery::provider::kubernetes::{PortChoice, Target};
use serde_json::json;

use crate::config::{
    leaf::{self, Leaf, Wrong},
    problem::shown,
    section::Section,
    shape::Shape,
    tree::Kind,
};

pub(super) fn kubernetes(kubernetes: &mut Section<'_>) -> Option<Target> {
    let service = "The name of the Service.";
    let service = kubernetes.required("service", service, &name("a name such as `chat`"));
    let namespace = "Its namespace; absent: that of `providers.kubernetes`.";
    let namespace = kubernetes.optional("namespace", namespace, &name("a namespace such as `default`"));
    let port = "The port by its name in the Service, or by its number in the pods; absent: the only one.";
    let port = kubernetes.optional("port", port, &port_choice());
    let target = Target::try_new(&service?)
        .ok()?
        .on(port.unwrap_or(PortChoice::Only));
    match namespace {
        Some(namespace) => target.in_namespace(&namespace).ok(),
        None => Some(target),
    }
}

/// A name of a Service or a namespace.
pub(in crate::config::check) fn name(wants: &'static str) -> impl Shape<Value = Box<str>> {
    leaf::text(wants, move |text| match Target::try_new(text) {
        Ok(_) => Ok(Box::from(text)),
        Err(_) => Err(format!(
            "{} is no name in Kubernetes; write 1 to 63 of a-z, 0-9 and `-`",
            shown(text)
        )),
    })
}

/// The name of a node, or a zone, which is the value of a label.
pub(in crate::config::check) fn label(wants: &'static str) -> impl Shape<Value = Box<str>> {
    leaf::text(wants, move |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        match (1..=MAX_LABEL).contains(&text.len()) && text.chars().all(plain) {
            true => Ok(Box::from(text)),
            false => Err(format!("{} is no name in Kubernetes; write {wants}", shown(text))),
        }
    })
}

fn port_choice() -> impl Shape<Value = PortChoice> {
    let schema = json!({ "anyOf": [
        { "type": "string", "pattern": "^[a-z0-9-]*[a-z][a-z0-9-]*$" },
        { "type": "integer", "minimum": 1, "maximum": u16::MAX },
    ] });
    Leaf::new("a port such as `ws` or `9001`", schema, |scalar| {
        let text = &*scalar.text;
        match scalar.kind() {
            Kind::Number => {
                let number = text.parse().ok().map(PortChoice::Number);
                number.ok_or_else(|| {
                    Wrong::value(format!(
                        "is out of range; write a port from 1 to {}",
                        NonZeroU16::MAX
                    ))
                })
            }
            Kind::Text if is_port_name(text) => Ok(PortChoice::Named(text.into())),
            Kind::Text => Err(Wrong::value(
                "is no name of a port; write 1 to 63 of a-z, 0-9 and `-`, or a number without quotes",
            )),
            Kind::Null | Kind::Flag(_) => Err(Wrong::Type),
        }
    })
}

/// What the name of a node may have; a zone's has less.
const MAX_LABEL: usize = 253;

/// A name with a letter in it: what has none would be taken for a number by others.
fn is_port_name(text: &str) -> bool {
    let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    text.len() <= 63 && text.chars().all(plain) && text.contains(|c: char| c.is_ascii_lowercase())
}
