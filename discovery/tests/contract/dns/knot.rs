//! A real authoritative name server: knot, on loopback.

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::timeout;

/// A running knot with the zone `internal`; ends with this.
pub(crate) struct Knot {
    folder: tempfile::TempDir,
    address: SocketAddr,
    process: Child,
    serial: u32,
}

impl Knot {
    /// With these lines in its zone, once it answers.
    pub(crate) async fn with_zone(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let serial = 1;
        fs::write(folder.path().join("internal.zone"), zone(lines, serial)).unwrap();
        let config = folder.path().join("knot.conf");
        fs::write(&config, configuration(&folder, address)).unwrap();
        let process = Command::new("knotd")
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`knotd` on PATH; in Debian it is the package `knot`");
        let knot = Self {
            folder,
            address,
            process,
            serial,
        };
        knot.serves(serial).await;
        knot
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts other lines into its zone and waits until it serves them.
    pub(crate) async fn load(&mut self, lines: &str) {
        self.serial += 1;
        let new = self.folder.path().join(".new");
        fs::write(&new, zone(lines, self.serial)).unwrap();
        fs::rename(new, self.folder.path().join("internal.zone")).unwrap();
        self.signal("HUP");
        self.serves(self.serial).await;
    }

    /// Stops it in the middle of what it does, or lets it go on.
    pub(crate) async fn freeze(&self, freeze: bool) {
        self.signal(if freeze { "STOP" } else { "CONT" });
        // The signal is on its way; each thread stops when it next runs.
        while freeze && !self.is_frozen() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn is_frozen(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        threads.into_iter().all(|thread| {
            let state = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
            // After the name, which is in brackets.
            state
                .rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('T'))
        })
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it answers with this serial number.
    async fn serves(&self, serial: u32) {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.address).await.unwrap();
        let asking = async {
            let mut answer = [0; 512];
            loop {
                // Before it listens, sending fails or the answer is an error.
                let _ = socket.send(SOA_QUESTION).await;
                let read = timeout(Duration::from_millis(20), socket.recv(&mut answer)).await;
                // The serial number comes before the last four numbers of the record.
                if let Ok(Ok(size)) = read
                    && size > 20 + SOA_QUESTION.len()
                    && answer[size - 20..size - 16] == serial.to_be_bytes()
                {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(20), asking)
            .await
            .expect("knot answers");
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn zone(lines: &str, serial: u32) -> String {
    format!(
        "$ORIGIN internal.\n@ 0 SOA ns hostmaster {serial} 60 60 60 0\n@ 0 NS ns\nns 0 A 127.0.0.1\n{lines}"
    )
}

fn configuration(folder: &tempfile::TempDir, address: SocketAddr) -> String {
    let folder = folder.path().display();
    let (ip, port) = (address.ip(), address.port());
    format!(
        "server:\n    rundir: {folder}\n    listen: {ip}@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    \
         background-workers: 1\ndatabase:\n    storage: {folder}\nzone:\n  - domain: internal\n    storage: {folder}\n    \
         file: internal.zone\n    journal-content: none\n"
    )
}

/// One that is free for datagrams and for connections; knot cannot be given a socket that is bound.
fn free_address() -> SocketAddr {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// `internal. IN SOA`, without EDNS, so that the answer ends with the SOA record or with what is beside it.
const SOA_QUESTION: &[u8] =
    b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x08internal\x00\x00\x06\x00\x01";
