//! Addresses and networks as an operator writes them, and what to write when it is not one.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::config::{leaf, problem::shown, shape::Shape};

/// An address to bind; port 0 lets the kernel choose.
pub(super) fn to_bind() -> impl Shape<Value = SocketAddr> {
    leaf::text("`ip:port` such as `127.0.0.1:8080` or `[::]:8080`", |text| {
        parse(text, "to listen on all addresses write `0.0.0.0` or `[::]`")
    })
}

/// An address to connect to.
pub(super) fn to_dial<T>(made: impl Fn(SocketAddr) -> T) -> impl Shape<Value = T> {
    leaf::text("`ip:port` such as `127.0.0.1:9001`", move |text| {
        let address = parse(text, "a name goes under `dns`")?;
        if address.port() == 0 {
            return Err(format!(
                "{} has no port to connect to; write the one the endpoint listens on",
                shown(text)
            ));
        }
        if address.ip().is_unspecified() || address.ip().is_multicast() {
            return Err(format!(
                "{} is no address of one machine; write the endpoint's own",
                shown(text)
            ));
        }
        Ok(made(address))
    })
}

/// A network, or one address as the network of itself.
pub(super) fn network() -> impl Shape<Value = IpNet> {
    leaf::text("a network such as `10.0.0.0/8`", |text| {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        let network: IpNet = text.parse().map_err(|_| {
            format!(
                "{} is no network; write one such as `10.0.0.0/8` or one address",
                shown(text)
            )
        })?;
        if network.trunc() != network {
            let (whole, one) = (network.trunc(), network.addr());
            return Err(format!(
                "{} has bits after its prefix; write `{whole}` for the network or `{one}`",
                shown(text)
            ));
        }
        Ok(network)
    })
}

fn parse(text: &str, of_names: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let text_shown = shown(text);
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Err(format!(
            "{text_shown} has no port; write `{}`",
            SocketAddr::new(ip, 9001)
        ));
    }
    Err(match text.rsplit_once(':') {
        Some((host, port))
            if host.chars().any(char::is_alphabetic)
                && !host.contains(['[', ':', '/'])
                && port.parse::<u16>().is_ok() =>
        {
            format!("{text_shown} is a host name; write ip:port such as `127.0.0.1:{port}`: {of_names}")
        }
        _ => format!("{text_shown} is no address; write ip:port such as `127.0.0.1:9001` or `[::1]:9001`"),
    })
}
