//! How TLS handshakes with clients ended.

/// How a TLS handshake with a client ended, as a metric says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsEnd {
    /// TLS is spoken.
    Established,
    /// What came was something else, such as plain HTTP.
    NotTls,
    /// No version, algorithm or protocol that both sides know.
    Incompatible,
    /// The client showed no certificate, or none of the right authority.
    ClientCertificate,
    /// The client did not take our certificate.
    RefusedByClient,
    /// Something that TLS does not allow.
    Invalid,
    /// Not at its end in time.
    TimedOut,
    /// The client left before its end.
    ClientGone,
}

impl TlsEnd {
    /// In the order of their declaration, which is the order of the counters.
    pub(super) const ALL: [Self; 8] = [
        Self::Established,
        Self::NotTls,
        Self::Incompatible,
        Self::ClientCertificate,
        Self::RefusedByClient,
        Self::Invalid,
        Self::TimedOut,
        Self::ClientGone,
    ];

    /// Its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Established => "ok",
            Self::NotTls => "not_tls",
            Self::Incompatible => "incompatible",
            Self::ClientCertificate => "client_certificate",
            Self::RefusedByClient => "refused_by_client",
            Self::Invalid => "invalid",
            Self::TimedOut => "timeout",
            Self::ClientGone => "client_gone",
        }
    }
}
