use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::support::{assert_all_came, loadgen, messages, read_report, run_over_streams, text};

/// An authority, and files in a directory of its own.
struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let authority = Self { directory: tempfile::tempdir().unwrap(), issuer: Issuer::new(params, key), certificate };
        authority.write("ca.pem", &authority.certificate.pem());
        authority
    }

    fn path(&self, file: &str) -> String {
        PathBuf::from(self.directory.path()).join(file).to_str().unwrap().to_owned()
    }

    fn write(&self, file: &str, content: &str) {
        std::fs::write(self.path(file), content).unwrap();
    }

    /// A certificate for `name` that this authority has signed.
    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes NAME.pem and NAME.key.
    fn write_pair(&self, name: &str) {
        let (certificate, key) = self.sign(name);
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// A collector with a certificate for `name`, which demands one of senders if `is_mutual`.
    fn collector(&self, version: &'static SupportedProtocolVersion, name: &str, is_mutual: bool) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(name);
        self.collector_with(&certificate, &key, version, is_mutual)
    }

    fn collector_with(
        &self,
        certificate: &rcgen::Certificate,
        key: &KeyPair,
        version: &'static SupportedProtocolVersion,
        is_mutual: bool,
    ) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[version]).unwrap();
        let builder = if is_mutual {
            let mut authorities = RootCertStore::empty();
            authorities.add(self.certificate.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

type Accepted = StreamOwned<ServerConnection, TcpStream>;

fn accept(listener: &TcpListener, config: &Arc<ServerConfig>) -> Accepted {
    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
    StreamOwned::new(connection, listener.accept().unwrap().0)
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tls://{}", listener.local_addr().unwrap());
    (listener, target)
}

/// Sends to a collector that does `receive` with the one connection there is.
fn run_against(receive: impl FnOnce(TcpListener) + Send, arguments: &[&str]) -> Output {
    let (listener, target) = listen();
    std::thread::scope(|scope| {
        scope.spawn(|| receive(listener));
        loadgen(&[&["run", &target, "--rate", "50k"], arguments].concat())
    })
}

/// What is told of a run against a collector with `config` that cannot be reached.
fn refused(config: &Arc<ServerConfig>, arguments: &[&str]) -> String {
    let receive = |listener: TcpListener| {
        accept(&listener, config).read_to_end(&mut Vec::new()).unwrap_err();
    };
    let output = run_against(receive, arguments);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    text(&output.stderr)
}

#[test]
fn messages_come_encrypted_counted_by_octets_and_closed_in_order() {
    let authority = Authority::new("authority");
    let (run, ca) = (authority.path("run.json"), authority.path("ca.pem"));
    for (version, chosen, framing) in
        [(&TLS13, &[][..], "octet"), (&TLS12, &[], "octet"), (&TLS13, &["--framing", "lf"], "lf")]
    {
        let config = authority.collector(version, "127.0.0.1", false);
        let (listener, target) = listen();
        let fixed = ["--rate", "max", "--count", "2000", "--flows", "3", "--tls-ca", &ca, "-o", &run];
        // Without close_notify a stream of rustls ends with an error.
        let (output, streams) =
            run_over_streams(&target, 3, &[&fixed[..], chosen].concat(), || accept(&listener, &config));
        assert!(output.status.success(), "{output:?}");
        let came: Vec<_> = streams.iter().flat_map(|stream| messages(stream, framing)).collect();
        assert_all_came(run.as_ref(), &came, 2000);
        let report = read_report(run.as_ref());
        assert_eq!((&report["target"], &report["plan"]["framing"]), (&target.into(), &framing.into()));
    }
}

#[test]
fn a_wrong_name_is_told() {
    let authority = Authority::new("authority");
    let config = authority.collector(&TLS13, "logs.example", false);
    let ca = authority.path("ca.pem");
    let stderr = refused(&config, &["--tls-ca", &ca]);
    let told = "certificate not valid for name \"127.0.0.1\"; certificate is only valid for DnsName(\"logs.example\")";
    assert!(stderr.contains(told) && stderr.contains("--tls-name says which name it must have"), "{stderr}");
    let stderr = refused(&config, &["--tls-ca", &ca, "--tls-name", "other.example"]);
    assert!(stderr.contains("certificate not valid for name \"other.example\""), "{stderr}");
}

#[test]
fn the_name_asked_for_is_the_one_that_counts() {
    let authority = Authority::new("authority");
    let config = authority.collector(&TLS13, "logs.example", false);
    let (listener, target) = listen();
    let ca = authority.path("ca.pem");
    let arguments = ["--rate", "max", "--count", "10", "--tls-ca", &ca, "--tls-name", "logs.example"];
    let (output, streams) = run_over_streams(&target, 1, &arguments, || accept(&listener, &config));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(messages(&streams[0], "octet").len(), 10);
}

#[test]
fn an_authority_that_is_not_trusted_is_told() {
    let authority = Authority::new("authority");
    let config = authority.collector(&TLS13, "127.0.0.1", false);
    for name in ["other", "authority"] {
        let stderr = refused(&config, &["--tls-ca", &Authority::new(name).path("ca.pem")]);
        assert!(stderr.contains("; --tls-ca must name the authority that signed it"), "{stderr}");
    }
}

#[test]
fn the_certificate_of_an_authority_in_place_of_its_own_is_told() {
    let authority = Authority::new("authority");
    let config = authority.collector_with(&authority.certificate, authority.issuer.key(), &TLS13, false);
    let stderr = refused(&config, &["--tls-ca", &authority.path("ca.pem")]);
    assert!(stderr.contains("give it one with CA:FALSE that the authority signed"), "{stderr}");
}

#[test]
fn a_certificate_is_shown_to_a_collector_that_demands_one() {
    let authority = Authority::new("authority");
    authority.write_pair("sender");
    let [ca, cert, key] = ["ca.pem", "sender.pem", "sender.key"].map(|file| authority.path(file));
    for version in [&TLS12, &TLS13] {
        let config = authority.collector(version, "127.0.0.1", true);
        let (listener, target) = listen();
        let arguments = ["--rate", "max", "--count", "10", "--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key];
        let (output, streams) = run_over_streams(&target, 1, &arguments, || accept(&listener, &config));
        assert!(output.status.success(), "{output:?}");
        assert_eq!(messages(&streams[0], "octet").len(), 10);
    }
}

#[test]
fn a_collector_that_demands_a_certificate_says_so() {
    let told =
        "received fatal alert: CertificateRequired; the collector demands a certificate: give --tls-cert and --tls-key";
    let authority = Authority::new("authority");
    let ca = authority.path("ca.pem");
    let stderr = refused(&authority.collector(&TLS12, "127.0.0.1", true), &["--tls-ca", &ca]);
    assert!(stderr.contains(told), "{stderr}");
    // With TLS 1.3 the collector looks at it when our side of the handshake is over (RFC 8446 section 4.4.2.4): the run
    // has begun, whether it has one message or many.
    let config = authority.collector(&TLS13, "127.0.0.1", true);
    for count in ["1", "500k"] {
        let receive = |listener: TcpListener| {
            accept(&listener, &config).read_to_end(&mut Vec::new()).unwrap_err();
        };
        let output = run_against(receive, &["--count", count, "--tls-ca", &ca]);
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let stdout = text(&output.stdout);
        assert!(stdout.contains("INVALID") && stdout.contains(told), "{stdout}");
    }
}

#[test]
fn a_listener_without_tls_is_told() {
    let authority = Authority::new("authority");
    let ca = authority.path("ca.pem");
    let greet = |listener: TcpListener| {
        let mut connection = listener.accept().unwrap().0;
        std::io::Write::write_all(&mut connection, b"220 this is not TLS\r\n").unwrap();
        let _ = connection.read_to_end(&mut Vec::new());
    };
    let hang_up = |listener: TcpListener| {
        let mut connection = listener.accept().unwrap().0;
        connection.read_exact(&mut [0; 5]).unwrap();
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let _ = connection.read_to_end(&mut Vec::new());
    };
    let output = run_against(greet, &["--tls-ca", &ca]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stderr).contains("is this the port of a plain TCP listener?"), "{output:?}");
    let output = run_against(hang_up, &["--tls-ca", &ca]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stderr).contains("closed the connection during the TLS handshake"), "{output:?}");
}

#[test]
fn a_collector_that_dies_makes_an_encrypted_run_invalid() {
    let authority = Authority::new("authority");
    let config = authority.collector(&TLS13, "127.0.0.1", false);
    let die = |listener: TcpListener| accept(&listener, &config).read_exact(&mut [0; 100]).unwrap();
    let output = run_against(die, &["--count", "500k", "--tls-ca", &authority.path("ca.pem")]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(text(&output.stdout).contains("sending on flow 0:"), "{output:?}");
}

#[test]
fn files_that_cannot_be_used_are_told_with_exit_code_2() {
    let authority = Authority::new("authority");
    authority.write_pair("sender");
    authority.write_pair("other");
    authority.write("text", "no PEM at all\n");
    authority.write("cut.pem", &authority.certificate.pem().replace("-----END", "-----"));
    let path = |file: &str| authority.path(file);
    for (arguments, told) in [
        (vec!["--tls-ca", &path("none")], "none: No such file"),
        (vec!["--tls-ca", &path("text")], "text: there is no certificate in PEM in it"),
        (vec!["--tls-ca", &path("sender.key")], "sender.key: there is no certificate in PEM in it"),
        (vec!["--tls-ca", &path("cut.pem")], "cut.pem: the PEM is broken"),
        (
            vec!["--tls-ca", &path("ca.pem"), "--tls-cert", &path("text"), "--tls-key", &path("sender.key")],
            "--tls-cert",
        ),
        (
            vec!["--tls-ca", &path("ca.pem"), "--tls-cert", &path("sender.pem"), "--tls-key", &path("sender.pem")],
            "sender.pem: there is no unencrypted private key in PEM in it",
        ),
        (
            vec!["--tls-ca", &path("ca.pem"), "--tls-cert", &path("sender.pem"), "--tls-key", &path("other.key")],
            "do not make a pair",
        ),
        (vec!["--tls-ca", &path("ca.pem"), "--tls-name", "not a name"], "`not a name` is neither a DNS name"),
    ] {
        let output = loadgen(&[&["run", "tls://127.0.0.1:1"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(told), "{arguments:?}: {output:?}");
    }
}
