//! TLS on either side, and what its keys may say together.

use std::path::Path;

use rustls::pki_types::ServerName;

use super::process::file_in;
use crate::config::{
    ListenerTls, Pair, ServiceTls,
    group::{Each, refuse_twins},
    leaf,
    problem::shown,
    section::{Object, Section},
    shape::Shape,
};

pub(super) fn listener(listener: &mut Section<'_>, folder: &Path) -> Option<ListenerTls> {
    let read = |tls: &mut Section<'_>| of_listener(tls, folder);
    let tls = Object::new("`{ certificate: tls.crt, key: tls.key }`", read);
    listener.optional("tls", "TLS with clients; absent: none.", &tls)
}

fn of_listener(tls: &mut Section<'_>, folder: &Path) -> Option<ListenerTls> {
    let file = || file_in(folder);
    let chain = "The certificate chain in PEM form, the own certificate first; relative to this file.";
    let certificate = tls.optional("certificate", chain, &file());
    let key = tls.optional("key", "The key of the certificate, in PEM form.", &file());
    let several =
        "In place of `certificate` and `key`: several pairs, of which the client's SNI chooses one.";
    let pairs = Each {
        item: Object::new(
            "`{ certificate: tls.crt, key: tls.key }`",
            |it: &mut Section<'_>| pair(it, folder),
        ),
        some: true,
        wants: "a list such as `[{ certificate: tls.crt, key: tls.key }]`",
    };
    let several = tls.optional("certificates", several, &pairs);
    if let Some(several) = &several {
        refuse_twins(tls.notes(), several, "is the same pair as", Clone::clone);
    }
    let client_ca =
        "Who must have signed the certificate that each client then needs; absent: clients need none.";
    let client_ca = tls.optional("client_ca", client_ca, &file());

    refuse_half(tls, "certificate", "key");
    let certificates = match (tls.has("certificates"), tls.has("certificate") || tls.has("key")) {
        (true, true) => {
            tls.refuse(
                "certificates",
                "stands beside `certificate` and `key`; write one or the other",
            );
            None
        }
        (false, false) => {
            tls.refuse(
                "certificate",
                "is missing; write `certificate: tls.crt` and `key: tls.key`",
            );
            None
        }
        (true, false) => several.map(|pairs| pairs.into_iter().map(|pair| pair.value).collect()),
        (false, true) => certificate
            .zip(key)
            .map(|(certificate, key)| vec![Pair { certificate, key }]),
    };
    Some(ListenerTls {
        certificates: certificates?,
        client_ca,
    })
}

fn pair(pair: &mut Section<'_>, folder: &Path) -> Option<Pair> {
    let chain = "The certificate chain in PEM form, the own certificate first.";
    let certificate = pair.required("certificate", chain, &file_in(folder));
    let key = pair.required(
        "key",
        "The key of the certificate, in PEM form.",
        &file_in(folder),
    );
    Some(Pair {
        certificate: certificate?,
        key: key?,
    })
}

pub(super) fn service(service: &mut Section<'_>, folder: &Path) -> Option<ServiceTls> {
    let read = |tls: &mut Section<'_>| of_service(tls, folder);
    let tls = Object::new("`{}`, or `{ ca: ca.pem, server_name: chat.internal }`", read);
    service.optional("tls", "TLS with the endpoints; absent: none.", &tls)
}

fn of_service(tls: &mut Section<'_>, folder: &Path) -> Option<ServiceTls> {
    let file = || file_in(folder);
    let ca = "Who must have signed an endpoint's certificate; absent: whom the system trusts.";
    let ca = tls.optional("ca", ca, &file());
    let name =
        "The name that the certificate must have; absent: that of the Host sent, or the endpoint's address.";
    let server_name = tls.optional("server_name", name, &server_name());
    let certificate = "What is shown to an endpoint that asks for a certificate.";
    let certificate = tls.optional("client_certificate", certificate, &file());
    let key = tls.optional("client_key", "The key of the client certificate.", &file());
    let skip = "Whether any certificate is taken: then anyone on the way can read and change everything.";
    let skip_verify = tls.or("insecure_skip_verify", skip, &leaf::flag(), SKIP);

    refuse_half(tls, "client_certificate", "client_key");
    if skip_verify && tls.has("ca") {
        tls.refuse(
            "ca",
            "means nothing with `insecure_skip_verify`; remove one of them",
        );
    }
    let own = certificate.zip(key);
    Some(ServiceTls {
        ca,
        server_name,
        own: own.map(|(certificate, key)| Pair { certificate, key }),
        skip_verify,
    })
}

fn server_name() -> impl Shape<Value = ServerName<'static>> {
    leaf::text("a name such as `chat.internal`", |text| {
        ServerName::try_from(text.to_owned()).map_err(|_| {
            format!(
                "{} is no host name or address; write one without a port",
                shown(text)
            )
        })
    })
}

/// Two keys that say nothing without each other.
fn refuse_half(tls: &Section<'_>, certificate: &'static str, key: &'static str) {
    for (there, missing) in [(certificate, key), (key, certificate)] {
        if tls.has(there) && !tls.has(missing) {
            tls.refuse(there, format!("stands without `{missing}`; write both"));
        }
    }
}

/// Who asks for TLS wants to know whom they speak to.
const SKIP: &str = "false";
