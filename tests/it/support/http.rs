//! HTTP/1.1 heads as bytes: what a test sends, and what it read.

/// The key of RFC 6455's own example.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A request head that a test puts together field by field.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    start: String,
    fields: Vec<(String, Vec<u8>)>,
}

impl Request {
    /// A request with no fields at all.
    pub(crate) fn bare(start: &str) -> Self {
        Self {
            start: start.to_owned(),
            fields: Vec::new(),
        }
    }

    /// A correct upgrade request.
    pub(crate) fn upgrade(target: &str) -> Self {
        Self::bare(&format!("GET {target} HTTP/1.1"))
            .field("Host", "chat.example.com")
            .field("Upgrade", "websocket")
            .field("Connection", "Upgrade")
            .field("Sec-WebSocket-Key", KEY)
            .field("Sec-WebSocket-Version", "13")
    }

    /// A correct request for no upgrade.
    pub(crate) fn plain(target: &str) -> Self {
        Self::bare(&format!("GET {target} HTTP/1.1")).field("Host", "chat.example.com")
    }

    /// One more field.
    pub(crate) fn field(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// The field replaced by one with this value.
    pub(crate) fn with(self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.without(name).field(name, value)
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self
    }

    /// The same fields under another request line.
    pub(crate) fn line(mut self, start: &str) -> Self {
        start.clone_into(&mut self.start);
        self
    }

    /// Its method and its target.
    pub(super) fn line_parts(&self) -> (String, String) {
        let mut words = self.start.split(' ').map(str::to_owned);
        let word = |words: &mut dyn Iterator<Item = String>| words.next().expect("a request line");
        (word(&mut words), word(&mut words))
    }

    pub(super) fn fields(&self) -> &[(String, Vec<u8>)] {
        &self.fields
    }

    /// The first value of a field.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let same = |field: &&(String, Vec<u8>)| field.0.eq_ignore_ascii_case(name);
        let found = self.fields.iter().find(same);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.start).into_bytes();
        for (name, value) in &self.fields {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

/// A head as it was read: every byte, and the same split at its lines.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) raw: Vec<u8>,
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// Splits a head that ends with its empty line.
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let text = raw
            .strip_suffix(b"\r\n\r\n")
            .expect("a head ends with an empty line");
        let mut lines = text
            .split(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let start = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let fields = lines
            .map(|line| {
                let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
                let value = line.get(colon + 1..).unwrap_or_default().trim_ascii().to_vec();
                (String::from_utf8_lossy(&line[..colon]).into_owned(), value)
            })
            .collect();
        Self {
            raw: raw.to_vec(),
            start,
            fields,
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.start
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a status line")
    }

    /// The request target as sent.
    pub(crate) fn target(&self) -> &str {
        self.start.split(' ').nth(1).expect("a request line")
    }

    /// Every value of a field, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<&[u8]> {
        let same = self
            .fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_slice()).collect()
    }

    /// The only value of a field; a repeated field fails the test.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(
            values.len() <= 1,
            "{name} is there {} times: {self:?}",
            values.len()
        );
        values
            .first()
            .map(|value| std::str::from_utf8(value).expect("an ASCII value"))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.raw[..self.raw.len().min(4096)]))
    }
}

/// An answer with its whole body.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
