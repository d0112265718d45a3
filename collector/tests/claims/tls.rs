use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::support::{Collector, logboom};

/// An authority, and files for certificates that it has signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

/// A certificate and its key, PEM.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Signs a certificate for `name`, into files called `file`.
    fn sign(&self, file: &str, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair { cert: self.path(&format!("{file}.pem")), key: self.path(&format!("{file}.key")) };
        std::fs::write(&pair.cert, cert.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }

    fn client(&self, own: Option<&Pair>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(Pair { cert, key }) => {
                let (cert, key) = (CertificateDer::from_pem_file(cert), PrivateKeyDer::from_pem_file(key));
                builder.with_client_auth_cert(vec![cert.unwrap()], key.unwrap()).unwrap()
            }
        })
    }
}

fn setting(key: &str, path: &Path) -> String {
    format!("{key}={}", path.display())
}

type Encrypted = StreamOwned<ClientConnection, TcpStream>;

fn connect(config: &Arc<ClientConfig>, address: SocketAddr) -> Encrypted {
    let name = ServerName::try_from("collector.example").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), TcpStream::connect(address).unwrap())
}

/// Sends a message, and waits for the other side to take it or to refuse the connection.
fn is_taken(collector: &Collector, mut stream: Encrypted, text: &str) -> bool {
    let before = collector.ledger()["received"].as_u64().unwrap();
    let message = format!("<13>{text}");
    if write!(stream, "{} {message}", message.len()).and_then(|()| stream.flush()).is_err() {
        return false;
    }
    stream.conn.send_close_notify();
    let _ = stream.flush();
    let _ = stream.sock.shutdown(std::net::Shutdown::Write);
    // The end, or an alert: in TLS 1.3 that is how a client learns that its certificate was refused.
    let ended = stream.read(&mut [0; 1]);
    match ended {
        Ok(_) => {
            collector.wait_for("received", before + 1);
            true
        }
        Err(_) => false,
    }
}

fn start(pair: &Pair, settings: &[String]) -> Collector {
    let own = [setting("tls.cert", &pair.cert), setting("tls.key", &pair.key)];
    let settings: Vec<&str> = own.iter().chain(settings).map(String::as_str).collect();
    Collector::start_with(&["--listen", "tls://127.0.0.1:0"], &settings)
}

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn messages_come_over_tls_of_either_version() {
    let authority = Authority::new();
    let pair = authority.sign("server", "collector.example");
    let mut collector = start(&pair, &[]);
    let address = collector.address("tls");
    // The sender never reads, as most do not, and closes at once.
    for version in BOTH {
        let mut stream = connect(&authority.client(None, &[version]), address);
        for number in 0..1_000 {
            let message = format!("<13>{version:?} {number}");
            write!(stream, "{} {message}", message.len()).unwrap();
        }
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    }
    collector.wait_for("stored", 2_000);
    collector.stop();
    let messages = collector.messages();
    assert!(messages.iter().all(|message| message.listener == format!("tls://{address}") && message.port > 0));
}

#[test]
fn who_sends_no_tls_or_nothing_at_all_is_closed_and_counted() {
    let authority = Authority::new();
    let pair = authority.sign("server", "collector.example");
    let mut collector = start(&pair, &["tls.handshake_timeout=1s".into()]);
    let mut plain = TcpStream::connect(collector.address("tls")).unwrap();
    let mut silent = TcpStream::connect(collector.address("tls")).unwrap();
    plain.write_all(b"<13>Oct 11 22:14:15 host app: in the clear\n").unwrap();
    collector.wait_for_line("does it send without TLS?");
    collector.wait_for_metric("logboom_tcp_closed_connections_total{reason=\"tls_failed\"}", 1);
    collector.wait_for_metric("logboom_tcp_closed_connections_total{reason=\"tls_timeout\"}", 1);
    assert!(matches!(silent.read(&mut [0; 1]), Ok(0) | Err(_)));
    let other = Authority::new();
    assert!(!is_taken(&collector, connect(&other.client(None, &BOTH), collector.address("tls")), "distrust"));
    collector.wait_for_metric("logboom_tcp_closed_connections_total{reason=\"tls_failed\"}", 2);
    assert_eq!(collector.ledger()["received"], 0);
    collector.stop();
}

#[test]
fn handshakes_beyond_their_rate_wait_and_are_made_in_turn() {
    let authority = Authority::new();
    let pair = authority.sign("server", "collector.example");
    let mut collector = start(&pair, &["tls.handshakes_per_second=1".into(), "receive.threads=1".into()]);
    let address = collector.address("tls");
    let mut silent: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
    collector.wait_for_metric("logboom_tls_waiting_handshakes", 3);
    // Who goes away does not use up a turn.
    silent.clear();
    assert!(is_taken(&collector, connect(&authority.client(None, &BOTH), address), "in turn"));
    collector.wait_until("nobody waits", |_| collector.metric("logboom_tls_waiting_handshakes") == Some(0));
    collector.stop();
}

#[test]
fn a_client_must_show_a_certificate_that_is_vouched_for_and_listed() {
    let authority = Authority::new();
    let pair = authority.sign("server", "collector.example");
    let (listed, unlisted) = (authority.sign("listed", "web1.example"), authority.sign("unlisted", "web2.example"));
    let another = Authority::new();
    let stranger = another.sign("stranger", "web1.example");
    let settings = [
        "tls.client=required".to_owned(),
        setting("tls.client_ca", &authority.path("ca.pem")),
        "tls.allow=[\"web1.example\"]".to_owned(),
    ];
    let mut collector = start(&pair, &settings);
    let address = collector.address("tls");
    let send = |own: Option<&Pair>, text: &str| {
        BOTH.map(|version| is_taken(&collector, connect(&authority.client(own, &[version]), address), text))
    };
    assert_eq!(send(Some(&listed), "listed"), [true, true]);
    assert_eq!(send(Some(&unlisted), "unlisted"), [false, false]);
    assert_eq!(send(Some(&stranger), "of another authority"), [false, false]);
    assert_eq!(send(None, "without"), [false, false]);
    collector.wait_for_metric("logboom_tcp_closed_connections_total{reason=\"tls_not_allowed\"}", 6);
    collector.stop();
    assert!(collector.messages().iter().all(|message| message.payload == b"<13>listed"));
}

#[test]
fn a_fingerprint_takes_no_authority_and_optional_takes_no_certificate() {
    let authority = Authority::new();
    let pair = authority.sign("server", "collector.example");
    let another = Authority::new();
    let (known, unknown) = (another.sign("known", "anything"), another.sign("unknown", "anything"));
    let der = CertificateDer::from_pem_file(&known.cert).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &der);
    let hex: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let settings = ["tls.client=optional".to_owned(), format!("tls.allow=[\"sha256:{}\"]", hex.join(":"))];
    let mut collector = start(&pair, &settings);
    let address = collector.address("tls");
    let send = |own: Option<&Pair>| is_taken(&collector, connect(&authority.client(own, &BOTH), address), "text");
    assert!(send(Some(&known)) && send(None));
    assert!(!send(Some(&unknown)), "one that is shown must be right");
    collector.stop();
}

#[test]
fn a_renewed_certificate_is_used_without_dropping_a_connection_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let pair = authority.sign("server", "collector.example");
    let mut collector = start(&pair, &[]);
    let address = collector.address("tls");
    let config = authority.client(None, &BOTH);
    let mut open = connect(&config, address);
    writeln!(open, "before").unwrap();
    collector.wait_for("received", 1);
    let shown = |config: &Arc<ClientConfig>| {
        let mut stream = connect(config, address);
        writeln!(stream, "text").unwrap();
        stream.conn.peer_certificates().unwrap()[0].as_ref().to_vec()
    };
    let first = shown(&config);
    authority.sign("server", "collector.example");
    collector.signal("HUP");
    collector.wait_for_line("read the files of [tls] again");
    let second = shown(&config);
    assert_ne!(first, second);
    writeln!(open, "after").unwrap();
    std::fs::write(&pair.key, "no key").unwrap();
    collector.signal("HUP");
    collector.wait_for_line("the old ones stay in use");
    assert_eq!(shown(&config), second);
    collector.wait_for("received", 5);
    assert_eq!(collector.metric("logboom_config_reloads_total{result=\"ok\"}"), Some(1));
    assert_eq!(collector.metric("logboom_config_reloads_total{result=\"failed\"}"), Some(1));
    drop(open);
    collector.stop();
    assert!(collector.messages().iter().any(|message| message.payload == b"after"));
}

#[test]
fn each_mistake_in_the_settings_is_told_at_the_start() {
    let authority = Authority::new();
    let pair = authority.sign("server", "collector.example");
    let other = authority.sign("other", "collector.example");
    let empty = authority.path("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let (cert, key) = (setting("tls.cert", &pair.cert), setting("tls.key", &pair.key));
    let gone = authority.path("gone.pem");
    for (settings, told) in [
        (vec![], "there is a tls:// listener: tls.cert must name the file"),
        (vec![cert.clone()], "tls.key must name the file with the private key"),
        (vec![setting("tls.cert", &gone), key.clone()], "gone.pem, which cannot be read: No such file"),
        (vec![setting("tls.cert", &empty), key.clone()], "which holds no certificate in PEM"),
        (vec![cert.clone(), setting("tls.key", &empty)], "which does not hold an unencrypted private key in PEM"),
        (vec![cert.clone(), setting("tls.key", &other.key)], "KeyMismatch"),
        (vec![cert.clone(), key.clone(), "tls.client=required".into()], "tls.client_ca must name the file"),
        (vec![cert.clone(), key.clone(), "tls.allow=[\"a\"]".into()], "set it to optional or required"),
        (
            vec![cert.clone(), key.clone(), "tls.client=required".into(), "tls.allow=[\"sha256:12\"]".into()],
            "`sha256:12` is neither a DNS name",
        ),
        (
            vec![cert.clone(), key.clone(), "tls.client=required".into(), "tls.allow=[\"web1.example\"]".into()],
            "there is no tls.client_ca whose word for them could be taken",
        ),
        (vec![cert, key, "tls.client=required".into(), setting("tls.client_ca", &empty)], "tls.client_ca names"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = logboom();
        command.args(["run", "--listen", "tls://127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir"]);
        command.arg(directory.path().join("data"));
        for setting in &settings {
            command.args(["--set", setting]);
        }
        let output = command.output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && errors.contains(told), "{settings:?}: {errors}");
        assert!(!directory.path().join("data").exists(), "nothing half-started");
    }
}
