//! The keys of TLS and of the PROXY protocol.

use super::*;

fn pair(certificate: &str, key: &str) -> Pair {
    Pair {
        certificate: certificate.into(),
        key: key.into(),
    }
}

#[test]
fn every_key_of_tls_reaches_the_config() {
    let config = accepted(EVERYTHING);
    let [first, second] = &*config.listeners else {
        panic!("{config:?}")
    };
    let tls = first.tls.as_ref().unwrap();
    assert_eq!(tls.certificates, [pair("one.crt", "one.key")]);
    assert_eq!(tls.client_ca.as_deref(), Some(Path::new("clients.pem")));
    let tls = second.tls.as_ref().unwrap();
    assert_eq!(
        tls.certificates,
        [pair("one.crt", "one.key"), pair("two.crt", "/run/two.key")]
    );
    assert_eq!(tls.client_ca, None);
    assert_eq!([first.proxy_protocol, second.proxy_protocol], [false, true]);

    let tls = config.services["chat"].tls.as_ref().unwrap();
    assert_eq!(tls.ca.as_deref(), Some(Path::new("ca.pem")));
    assert_eq!(tls.server_name, Some("chat.internal".try_into().unwrap()));
    assert_eq!(
        (&tls.own, tls.skip_verify),
        (&Some(pair("own.crt", "own.key")), false)
    );
    assert!(config.services["rooms"].tls.as_ref().unwrap().skip_verify);
}

#[test]
fn nothing_is_encrypted_unless_it_is_written_and_everything_is_verified_unless_it_is_written() {
    let config = accepted(LEAST);
    assert!(config.listeners[0].tls.is_none() && !config.listeners[0].proxy_protocol);
    assert!(config.services["chat"].tls.is_none());
    let config = accepted(&LEAST.replace("[127.0.0.1:9001] }", "[127.0.0.1:9001] }, tls: {}"));
    let nothing = ServiceTls {
        ca: None,
        server_name: None,
        own: None,
        skip_verify: false,
    };
    assert_eq!(config.services["chat"].tls, Some(nothing));
}
