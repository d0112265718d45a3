//! Encryption of streams (RFC 5425): our certificate, whose certificates are taken, and both read again without dropping a
//! connection.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};

use crate::config::{ClientCertificate, Tls};
use crate::ledger::Counter;

/// Why streams cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, not readable, or not PEM.
    #[error("{key} names {}, {error}", .path.display())]
    File {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
    /// Certificate and key do not belong together, or cannot be used.
    #[error("tls.cert ({}) and tls.key ({}): {error}", .cert.display(), .key.display())]
    Pair {
        /// `tls.cert`
        cert: PathBuf,
        /// `tls.key`
        key: PathBuf,
        /// What is wrong.
        error: Error,
    },
    /// The authorities of clients cannot be used.
    #[error("tls.client_ca ({}): {error}", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
    /// An entry of the allow list is neither.
    #[error("tls.allow: `{0}` is neither a DNS name, an IP address nor a fingerprint sha256:HEX of 64 digits")]
    Allow(String),
    /// Names that nobody vouches for.
    #[error("tls.allow has names, but there is no tls.client_ca whose word for them could be taken")]
    NamesAlone,
}

/// What handshakes are made with; replaced whole when its files have changed.
pub struct TlsSettings {
    tls: Tls,
    current: RwLock<Current>,
    /// Times at which changed files were read and used.
    pub reloaded: Counter,
    /// Times at which they could not be used.
    pub reload_failed: Counter,
}

struct Current {
    config: Arc<ServerConfig>,
    read: Stamps,
}

/// When each file was last written to.
type Stamps = [Option<SystemTime>; 3];

impl TlsSettings {
    /// Reads every file.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(tls: &Tls) -> Result<Self, TlsError> {
        let read = stamps(tls);
        let current = RwLock::new(Current { config: server_config(tls)?, read });
        let (reloaded, reload_failed) = (Counter::default(), Counter::default());
        Ok(Self { tls: tls.clone(), current, reloaded, reload_failed })
    }

    /// What the next handshake is made with.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// How a handshake is limited.
    #[must_use]
    pub fn limits(&self) -> &Tls {
        &self.tls
    }

    /// Reads the files again if one has changed, or if `must`. Connections that are open keep what they have, and what cannot
    /// be used leaves what was read before in use; the log and the counts tell.
    pub fn reload(&self, must: bool) {
        let now = stamps(&self.tls);
        if !must && self.current.read().unwrap_or_else(PoisonError::into_inner).read == now {
            return;
        }
        let config = server_config(&self.tls);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Also of files that cannot be used: they are told of once, and not each time.
        current.read = now;
        match config {
            Ok(config) => {
                current.config = config;
                self.reloaded.add(1);
                tracing::info!("read the files of [tls] again: new connections get the new certificate");
            }
            Err(error) => {
                self.reload_failed.add(1);
                tracing::error!(
                    "the files of [tls] have changed and cannot be used: {error}; the old ones stay in use"
                );
            }
        }
    }
}

fn stamps(tls: &Tls) -> Stamps {
    [&tls.cert, &tls.key, &tls.client_ca].map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

fn server_config(tls: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificates = certificates("tls.cert", &tls.cert)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| TlsError::File {
        key: "tls.key",
        path: tls.key.clone(),
        error: pem_problem(&error, "an unencrypted private key"),
    })?;
    let pair = |error| TlsError::Pair { cert: tls.cert.clone(), key: tls.key.clone(), error };
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions).map_err(pair)?;
    let builder = match tls.client {
        ClientCertificate::None => builder.with_no_client_auth(),
        ClientCertificate::Optional | ClientCertificate::Required => {
            builder.with_client_cert_verifier(Arc::new(Senders::new(tls, &provider)?))
        }
    };
    let mut config = builder.with_single_cert(certificates, key).map_err(pair)?;
    // A sender that closes with a ticket unread has its kernel send RST, which throws away what we have not read yet (RFC 2525
    // section 2.17; tcp_close in net/ipv4/tcp.c). Most senders of logs never read.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refused = |error: String| TlsError::File { key, path: path.into(), error };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| refused(pem_problem(&error, "a certificate")))?;
    if certificates.is_empty() { Err(refused("which holds no certificate in PEM".into())) } else { Ok(certificates) }
}

fn pem_problem(error: &rustls::pki_types::pem::Error, what: &str) -> String {
    use rustls::pki_types::pem::Error as Pem;
    match error {
        Pem::Io(error) => format!("which cannot be read: {error}"),
        Pem::NoItemsFound => format!("which does not hold {what} in PEM"),
        other => format!("which is not PEM: {other}"),
    }
}

/// Which certificates of clients are taken: those that an authority vouches for, and, with an allow list, only if they have a
/// name on it; and, without any authority, those with a fingerprint on it (RFC 5425 section 4.2.2).
#[derive(Debug)]
struct Senders {
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    names: Vec<ServerName<'static>>,
    fingerprints: Vec<[u8; 32]>,
    is_required: bool,
    provider: Arc<CryptoProvider>,
}

impl Senders {
    fn new(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let authorities = if tls.client_ca.as_os_str().is_empty() { None } else { Some(authorities(tls, provider)?) };
        let (mut names, mut fingerprints) = (Vec::new(), Vec::new());
        for entry in &tls.allow {
            match entry.strip_prefix("sha256:") {
                Some(hex) => fingerprints.push(parse_fingerprint(hex).ok_or_else(|| TlsError::Allow(entry.clone()))?),
                None => names.push(ServerName::try_from(entry.clone()).map_err(|_| TlsError::Allow(entry.clone()))?),
            }
        }
        if authorities.is_none() && !names.is_empty() {
            return Err(TlsError::NamesAlone);
        }
        let is_required = tls.client == ClientCertificate::Required;
        Ok(Self { authorities, names, fingerprints, is_required, provider: Arc::clone(provider) })
    }

    fn is_among_names(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
        self.names.iter().any(|name| verify_server_name(&parsed, name).is_ok())
    }
}

fn authorities(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let refused = |error: String| TlsError::Authorities { path: tls.client_ca.clone(), error };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls.client_ca", &tls.client_ca)? {
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    verifier.build().map_err(|error| refused(error.to_string()))
}

/// 64 hexadecimal digits, with or without colons as `openssl x509 -fingerprint` writes them.
fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let mut fingerprint = [0; 32];
    if digits.len() != 2 * fingerprint.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in fingerprint.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(fingerprint)
}

fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.as_ref());
    fingerprint
}

impl ClientCertVerifier for Senders {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.as_ref().map_or(&[], |authorities| authorities.root_hint_subjects())
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.fingerprints.contains(&fingerprint(certificate)) {
            return Ok(ClientCertVerified::assertion());
        }
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let Some(authorities) = &self.authorities else { return Err(refused) };
        let verified = authorities.verify_client_cert(certificate, intermediates, now)?;
        let is_listed = self.names.is_empty() && self.fingerprints.is_empty() || self.is_among_names(certificate);
        if is_listed { Ok(verified) } else { Err(refused) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_openssl_writes_them() {
        let hex = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff";
        let colons: Vec<&str> = (0..32).map(|byte| &hex[byte * 2..byte * 2 + 2]).collect();
        let expected = parse_fingerprint(hex).unwrap();
        assert_eq!(parse_fingerprint(&colons.join(":")), Some(expected));
        assert_eq!((expected[1], expected[31]), (0x11, 0xFF));
        for wrong in ["", "00", &hex[1..], &format!("{hex}00"), &hex.replace('A', "G")] {
            assert_eq!(parse_fingerprint(wrong), None, "{wrong}");
        }
    }
}
