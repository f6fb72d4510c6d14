//! Envoy from its PyPI package: one worker, a static cluster, upgrades of type websocket.
//!
//! Beyond its defaults: circuit breakers out of the way (they stop at 1,024 connections), no timeouts for long sessions.
//! Within TLS: version 1.3, which it does not speak to endpoints unasked, X25519, and whose certificate it is to expect.
//! Its least-request strategy compares two endpoints at random, so it stands for power-of-two as well.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Peer, Setup, Strategy, each, find, first_line, write};
use crate::{tls::Certificates, wire::HOST};

#[derive(Debug)]
pub(super) struct Envoy;

impl Peer for Envoy {
    fn name(&self) -> &'static str {
        "Envoy"
    }

    fn program(&self) -> Option<PathBuf> {
        find("envoy")
    }

    fn version(&self, program: &Path) -> String {
        // The line reads "envoy  version: COMMIT/1.2.3/Clean/RELEASE/BoringSSL".
        let line = first_line(program, "--version");
        line.split('/').rev().nth(3).unwrap_or(&line).to_owned()
    }

    fn command(&self, program: &Path, setup: &Setup) -> io::Result<Command> {
        let config = write(setup, "envoy.yaml", &config(setup))?;
        let mut command = Command::new(program);
        command
            .args([
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--log-level",
                "error",
                "-c",
            ])
            .arg(config);
        Ok(command)
    }
}

fn config(setup: &Setup) -> String {
    let strategy = match setup.strategy {
        Strategy::RoundRobin => "ROUND_ROBIN",
        Strategy::LeastConnection | Strategy::PowerOfTwo => "LEAST_REQUEST",
    };
    let endpoints = each(setup, |_, e| {
        let (ip, port) = (e.ip(), e.port());
        format!(
            "      - endpoint: {{ address: {{ socket_address: {{ address: {ip}, port_value: {port} }} }} }}\n"
        )
    });
    let (ip, port) = (setup.listen.ip(), setup.listen.port());
    let (front, back) = setup.tls.as_deref().map(tls).unwrap_or_default();
    format!(
        "static_resources:
  listeners:
  - address: {{ socket_address: {{ address: {ip}, port_value: {port} }} }}
    filter_chains:
    -{front}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          stream_idle_timeout: 0s
          use_remote_address: true
          upgrade_configs: [{{ upgrade_type: websocket }}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes: [{{ match: {{ prefix: / }}, route: {{ cluster: echo, timeout: 0s, idle_timeout: 0s }} }}]
  clusters:
  - name: echo
    type: STATIC{back}
    lb_policy: {strategy}
    circuit_breakers:
      thresholds:
      - {{ max_connections: 1000000, max_pending_requests: 1000000, max_requests: 1000000 }}
    load_assignment:
      cluster_name: echo
      endpoints:
      - lb_endpoints:
{endpoints}"
    )
    .replace("\n      - endpoint", "\n        - endpoint")
}

/// The transport sockets of the listener and of the cluster.
fn tls(files: &Certificates) -> (String, String) {
    const EXTENSION: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
    let parameters = "tls_params: { tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3, \
                      ecdh_curves: [X25519] }";
    let front = format!(
        "
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          \"@type\": {EXTENSION}.DownstreamTlsContext
          common_tls_context:
            {parameters}
            tls_certificates: [{{ certificate_chain: {{ filename: {certificate} }}, private_key: {{ filename: {key} }} }}]",
        certificate = files.certificate().display(),
        key = files.key().display(),
    );
    let back = format!(
        "
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        \"@type\": {EXTENSION}.UpstreamTlsContext
        sni: {HOST}
        common_tls_context:
          {parameters}
          validation_context:
            trusted_ca: {{ filename: {authority} }}
            match_typed_subject_alt_names: [{{ san_type: DNS, matcher: {{ exact: {HOST} }} }}]",
        authority = files.authority().display(),
    );
    (front, back)
}
