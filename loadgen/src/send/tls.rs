//! TLS to a collector (RFC 5425): what connections are made with, and one of them.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, RootCertStore};

use crate::target::{Target, Transport};

/// Files and names, as given.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TlsOptions {
    /// Authorities of which one must have signed the collector's certificate, PEM; tls:// needs it.
    #[arg(long = "tls-ca", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Name that the collector's certificate must have; the target's host unless given.
    #[arg(long = "tls-name", value_name = "NAME")]
    pub name: Option<String>,
    /// Certificate to show to the collector, PEM, with the intermediate ones behind it.
    #[arg(long = "tls-cert", value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long = "tls-key", value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Nobody is trusted.
    #[error("{0} needs --tls-ca FILE: the authorities, in PEM, of which one has signed the collector's certificate")]
    NoAuthorities(Target),
    /// Options that would do nothing.
    #[error("{0} is not encrypted: leave out --tls-ca, --tls-name, --tls-cert and --tls-key, or write tls://")]
    NotEncrypted(Target),
    /// No certificate has such a name.
    #[error(
        "`{0}` is neither a DNS name nor an IP address: give the name in the collector's certificate by --tls-name"
    )]
    Name(String),
    /// A file is not there, or not what it should be.
    #[error("{option} {}: {problem}", path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// As given.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The certificate to show cannot be used.
    #[error("--tls-cert {} and --tls-key {} do not make a pair: {error}", cert.display(), key.display())]
    Pair {
        /// Of the certificate.
        cert: PathBuf,
        /// Of the key.
        key: PathBuf,
        /// What is wrong.
        error: Error,
    },
    /// The cryptography cannot do what is asked for.
    #[error("TLS: {0}")]
    Provider(Error),
}

/// What connections are made with.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Reads the files; `None` for a target without TLS.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(options: &TlsOptions, target: &Target) -> Result<Option<Self>, TlsError> {
        let TlsOptions { ca, name, cert, key } = options;
        if target.transport != Transport::Tls {
            let is_any_given = name.is_some() || [ca, cert, key].into_iter().any(Option::is_some);
            return if is_any_given { Err(TlsError::NotEncrypted(target.clone())) } else { Ok(None) };
        }
        let ca = ca.as_ref().ok_or_else(|| TlsError::NoAuthorities(target.clone()))?;
        let own = cert.as_ref().zip(key.as_ref());
        let config = client_config(rustls::crypto::ring::default_provider(), ca, own)?;
        let name = name.as_deref().unwrap_or_else(|| target.host());
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.into()))?;
        Ok(Some(Self { config: Arc::new(config), name }))
    }

    /// Makes `socket` an encrypted connection. The collector may be silent for `timeout`.
    ///
    /// # Errors
    /// Why there is none, and what to do about it.
    pub fn handshake(&self, mut socket: TcpStream, timeout: Duration) -> io::Result<TlsStream> {
        let mut connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(|error| io::Error::other(explain(&error)))?;
        let (read, write) = (socket.read_timeout()?, socket.write_timeout()?);
        set_timeouts(&socket, Some(timeout), Some(timeout))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).map_err(|error| handshake_failed(error, timeout))?;
        }
        set_timeouts(&socket, read, write)?;
        Ok(TlsStream { connection, socket })
    }
}

fn client_config(
    provider: CryptoProvider,
    ca: &Path,
    own: Option<(&PathBuf, &PathBuf)>,
) -> Result<ClientConfig, TlsError> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates("--tls-ca", ca)? {
        authorities.add(certificate).map_err(|error| TlsError::File {
            option: "--tls-ca",
            path: ca.into(),
            problem: error.to_string(),
        })?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        .with_root_certificates(authorities);
    let Some((cert, key)) = own else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates("--tls-cert", cert)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
        option: "--tls-key",
        path: key.clone(),
        problem: pem_problem(&error, "unencrypted private key"),
    })?;
    let unpaired = |error| TlsError::Pair { cert: cert.clone(), key: key.clone(), error };
    builder.with_client_auth_cert(chain, private).map_err(unpaired)
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.and_then(|found| if found.is_empty() { Err(PemError::NoItemsFound) } else { Ok(found) });
    found.map_err(|error| TlsError::File { option, path: path.into(), problem: pem_problem(&error, "certificate") })
}

fn pem_problem(error: &PemError, what: &str) -> String {
    match error {
        PemError::Io(error) => error.to_string(),
        PemError::NoItemsFound => format!("there is no {what} in PEM in it (-----BEGIN ...)"),
        broken => format!("the PEM is broken: {broken:?}"),
    }
}

fn set_timeouts(socket: &TcpStream, read: Option<Duration>, write: Option<Duration>) -> io::Result<()> {
    socket.set_read_timeout(read)?;
    socket.set_write_timeout(write)
}

fn handshake_failed(error: io::Error, timeout: Duration) -> io::Error {
    let told = match (error.kind(), tls_error(&error)) {
        (_, Some(error)) => explain(error),
        (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, _) => {
            format!("no answer to the TLS handshake for {timeout:?}: is this the port of a plain TCP listener?")
        }
        (io::ErrorKind::UnexpectedEof, _) => "the collector closed the connection during the TLS handshake".into(),
        _ => format!("TLS handshake: {error}"),
    };
    io::Error::new(error.kind(), told)
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// What TLS did not like, and what to do about it.
fn explain(error: &Error) -> String {
    use CertificateError::{BadSignature, NotValidForName, NotValidForNameContext, UnknownIssuer};
    let advice = match error {
        Error::InvalidCertificate(UnknownIssuer | BadSignature) => "; --tls-ca must name the authority that signed it",
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "; --tls-name says which name it must have"
        }
        // The authority's own, which `openssl req -x509` makes; rustls has no name for what webpki says of it.
        Error::InvalidCertificate(CertificateError::Other(why)) if why.to_string() == "CaUsedAsEndEntity" => {
            "; the collector shows the certificate of an authority: give it one with CA:FALSE that the authority signed"
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "; the collector demands a certificate: give --tls-cert and --tls-key"
        }
        Error::InvalidMessage(_) => "; is this the port of a plain TCP listener?",
        _ => "",
    };
    format!("TLS: {error}{advice}")
}

/// One encrypted connection.
#[derive(Debug)]
pub struct TlsStream {
    connection: ClientConnection,
    socket: TcpStream,
}

impl TlsStream {
    /// Encrypts `bytes` and writes them.
    ///
    /// # Errors
    /// What write(2) says, or the collector's alert.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = io::Write::write(&mut self.connection.writer(), rest)?;
            let written = self.flush().map_err(|error| self.alert_or(error))?;
            // Instead of what its keys must not encrypt any more rustls sends close_notify, which is shorter than any
            // tag, and says that it took all. With TLS 1.3 it changes the keys.
            if written < taken {
                return Err(io::Error::other(
                    "the keys of a TLS 1.2 connection are used up (RFC 8446 section 5.5): have the collector take \
                     TLS 1.3, or send over more --flows",
                ));
            }
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Says that nothing more comes (RFC 5425 section 4.4).
    ///
    /// # Errors
    /// What write(2) and shutdown(2) say, or the collector's alert.
    pub(super) fn close_write(&mut self) -> io::Result<()> {
        self.connection.send_close_notify();
        let closed = self.flush().and_then(|_| self.socket.shutdown(Shutdown::Write));
        closed.map_err(|error| self.alert_or(error))
    }

    /// How long a read waits.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub(super) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(timeout))
    }

    /// Reads once; whether the collector has closed. Only alerts are looked at: a syslog receiver says nothing, so that one
    /// that closes without close_notify has cut nothing short.
    ///
    /// # Errors
    /// What read(2) says, or the collector's alert.
    pub(super) fn read_some(&mut self) -> io::Result<bool> {
        if self.connection.read_tls(&mut self.socket)? == 0 {
            return Ok(true);
        }
        let state = self.connection.process_new_packets().map_err(|error| io::Error::other(explain(&error)))?;
        let received = &mut vec![0; state.plaintext_bytes_to_read()];
        io::Read::read_exact(&mut self.connection.reader(), received)?;
        Ok(state.peer_has_closed())
    }

    /// The alert that the collector sent before it broke the connection, or else the `error` of the call that found it
    /// broken. Nothing is waited for: a broken connection has what came before, and then its end.
    fn alert_or(&mut self, error: io::Error) -> io::Error {
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            return error; // Not broken: only slow.
        }
        loop {
            match self.read_some() {
                Ok(false) => {}
                Err(alert) if alert.raw_os_error().is_none() => return alert,
                Ok(true) | Err(_) => return error,
            }
        }
    }

    /// Writes what is encrypted, and returns how much that was.
    fn flush(&mut self) -> io::Result<usize> {
        let mut written = 0;
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.socket) {
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use rustls::crypto::ring::{cipher_suite, default_provider};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{CipherSuiteCommon, ServerConfig, ServerConnection, StreamOwned, SupportedCipherSuite};
    use rustls::{Tls12CipherSuite, version};

    use super::*;
    use crate::tag::TAG_BYTES;

    /// TLS 1.2 whose keys last for `limit` records, and a collector to try it on.
    fn short_lived(limit: u64) -> (Tls, Arc<ServerConfig>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, made.cert.pem()).unwrap();
        let SupportedCipherSuite::Tls12(suite) = cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 else {
            panic!("a suite of TLS 1.2")
        };
        let CipherSuiteCommon { suite: name, hash_provider, .. } = suite.common;
        let common = CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit: limit };
        let suite: &'static _ = Box::leak(Box::new(Tls12CipherSuite { common, ..*suite }));
        let provider = CryptoProvider { cipher_suites: vec![SupportedCipherSuite::Tls12(suite)], ..default_provider() };
        let config = Arc::new(client_config(provider, &ca, None).unwrap());
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let collector = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        (Tls { config, name: ServerName::try_from("localhost").unwrap() }, Arc::new(collector))
    }

    #[test]
    fn what_used_up_keys_no_longer_encrypt_is_not_taken_for_sent() {
        let (tls, collector) = short_lived(8);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let receiver = std::thread::spawn(move || {
            let connection = ServerConnection::new(collector).unwrap();
            let mut received = Vec::new();
            StreamOwned::new(connection, listener.accept().unwrap().0).read_to_end(&mut received).unwrap();
            received.len()
        });
        let mut stream = tls.handshake(socket, Duration::from_secs(5)).unwrap();
        let timeouts = [stream.socket.read_timeout(), stream.socket.write_timeout()].map(Result::unwrap);
        assert_eq!(timeouts, [None, None], "the limit of the handshake is its own");
        let answers: Vec<_> = (0..9).map(|_| stream.write_all(&[b'm'; TAG_BYTES])).collect();
        let sent = answers.iter().take_while(|answer| answer.is_ok()).count();
        assert!(answers[sent].as_ref().unwrap_err().to_string().contains("keys of a TLS 1.2 connection are used up"));
        assert!(answers[sent..].iter().all(Result::is_err), "{answers:?}");
        stream.close_write().unwrap();
        assert_eq!(receiver.join().unwrap(), sent * TAG_BYTES);
    }

    #[test]
    fn a_collector_that_does_not_answer_is_not_waited_for_for_ever() {
        let (tls, _) = short_lived(8);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let told = tls.handshake(socket, Duration::from_millis(10)).unwrap_err().to_string();
        assert!(told.contains("no answer to the TLS handshake for 10ms"), "{told}");
    }
}
