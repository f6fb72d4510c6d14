//! nginx from Debian: one worker under its master, upgrade headers passed on by hand as its documentation says.
//!
//! Beyond its defaults: `worker_connections`, HTTP/1.1 to the backend, an hour of idle time, no access log. Within TLS: version
//! 1.3, which 1.22 does not speak unasked; the endpoints' certificates are verified, which no version does unasked.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Peer, Setup, Strategy, each, find, first_line, write};
use crate::{tls::Certificates, wire::HOST};

#[derive(Debug)]
pub(super) struct Nginx;

impl Peer for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn program(&self) -> Option<PathBuf> {
        find("nginx")
    }

    fn version(&self, program: &Path) -> String {
        first_line(program, "-v").replace("nginx version: ", "")
    }

    fn command(&self, program: &Path, setup: &Setup) -> io::Result<Command> {
        let config = write(setup, "nginx.conf", &config(setup))?;
        let mut command = Command::new(program);
        command
            .arg("-p")
            .arg(&setup.folder)
            .arg("-c")
            .arg(config)
            .arg("-e")
            .arg(setup.folder.join("error.log"));
        Ok(command)
    }

    /// A reload: a new worker for new sessions, the old one stays with the old sessions.
    fn grow(&self, setup: &Setup, root: u32) -> io::Result<bool> {
        write(setup, "nginx.conf", &config(setup))?;
        let root = i32::try_from(root)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::InvalidInput)?;
        kill_process(root, Signal::HUP)?;
        Ok(true)
    }
}

fn config(setup: &Setup) -> String {
    let strategy = match setup.strategy {
        Strategy::RoundRobin => "",
        Strategy::LeastConnection => "least_conn;",
        Strategy::PowerOfTwo => "random two least_conn;",
    };
    let servers = each(setup, |_, endpoint| format!("    server {endpoint};\n"));
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let (folder, listen) = (setup.folder.display(), setup.listen);
    let within_tls = setup.tls.is_some();
    let ssl = if within_tls { " ssl" } else { "" };
    let scheme = if within_tls { "https" } else { "http" };
    let tls = setup.tls.as_deref().map(tls).unwrap_or_default();
    format!(
        "{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 19900; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream echo {{
    {strategy}
{servers}  }}
  server {{
    listen {listen}{ssl} backlog=4096;
{tls}    location / {{
      proxy_pass {scheme}://echo;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }}
  }}
}}
"
    )
}

fn tls(files: &Certificates) -> String {
    format!(
        "    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    ssl_ecdh_curve X25519;
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_conf_command Groups X25519;
    proxy_ssl_server_name on;
    proxy_ssl_name {HOST};
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {authority};
",
        certificate = files.certificate().display(),
        key = files.key().display(),
        authority = files.authority().display(),
    )
}
