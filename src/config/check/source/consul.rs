//! A `consul` source: which instances of a service, and which of their addresses.

use discovery::provider::consul::{AddressOf, Wanted};

use crate::config::{
    check::providers::consul::name,
    group::{Each, refuse_twins},
    leaf,
    problem::shown,
    section::Section,
    shape::Shape,
};

pub(super) fn consul(consul: &mut Section<'_>) -> Option<Wanted> {
    let service = consul.required("service", "Its name in Consul.", &name("a name such as `chat`"));
    let tags = Each {
        item: tag(),
        some: false,
        wants: "a list such as `[ws]`",
    };
    let tags = consul.or(
        "tags",
        "Tags that an instance must have, all of them.",
        &tags,
        TAGS,
    );
    refuse_twins(consul.notes(), &tags, "is the same as", Clone::clone);
    let filter = "An expression of Consul's filter language that an instance must meet.";
    let filter = consul.optional("filter", filter, &filter_text());
    let address = "Which address of an instance is dialled.";
    let address = consul.or("address", address, &leaf::choice(ADDRESSES), ADDRESS);
    Some(Wanted {
        service: service?,
        tags: tags.into_iter().map(|tag| tag.value).collect(),
        filter,
        address,
    })
}

/// The filter language has two kinds of quotes and no escapes.
fn tag() -> impl Shape<Value = Box<str>> {
    leaf::text("a tag such as `ws`", |text| {
        if text.is_empty() || text.chars().any(char::is_control) || (text.contains('`') && text.contains('"'))
        {
            let text = shown(text);
            return Err(format!(
                "{text} is empty, not one line, or has both kinds of quotes; write another"
            ));
        }
        Ok(Box::from(text))
    })
}

fn filter_text() -> impl Shape<Value = Box<str>> {
    leaf::text(
        "an expression such as `Service.Meta.version == 2`",
        |text| match text.trim() {
            "" => Err(
                "has no words; write an expression such as `Service.Meta.version == 2`, or remove the key",
            ),
            text => Ok(Box::from(text)),
        },
    )
}

const ADDRESSES: &[(&str, AddressOf)] = &[
    ("service", AddressOf::Service),
    ("node", AddressOf::Node),
    ("lan", AddressOf::Lan),
    ("lan_ipv4", AddressOf::LanIpv4),
    ("lan_ipv6", AddressOf::LanIpv6),
    ("wan", AddressOf::Wan),
    ("wan_ipv4", AddressOf::WanIpv4),
    ("wan_ipv6", AddressOf::WanIpv6),
];
/// What Consul's own DNS answers.
const ADDRESS: &str = "service";
const TAGS: &str = "[]";
