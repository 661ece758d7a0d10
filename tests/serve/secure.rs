//! TLS with certificates that somebody signed, on one side and on both.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::certificates::{Certificates, OURS};
use super::server::{PATIENCE, Server, first_line, options};

/// The `[tls]` of a server that shows a certificate.
pub(crate) fn identity() -> String {
    format!("[tls]\ncertificate = {:?}\nkey = {:?}\n", OURS.certificate(), OURS.key())
}

/// A client of these tests, which trusts the authority of these tests.
pub(crate) struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    /// Connects, shows a certificate if it is to, and completes the handshake.
    pub(crate) fn connect(address: SocketAddr, shows: bool) -> io::Result<Self> {
        Self::showing(address, shows.then_some(&*OURS))
    }

    fn showing(address: SocketAddr, own: Option<&Certificates>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(OURS.authority()).expect("a certificate")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
        let config = match own {
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_file(own.certificate()).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_file(own.key()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        let name = address.ip().into();
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        connection.complete_io(&mut stream)?;
        Ok(Self(StreamOwned::new(connection, stream)))
    }
}

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether a peer gets an answer. With TLS 1.3 a client learns only then that it was refused.
fn is_served(peer: io::Result<Client>) -> bool {
    let Ok(mut peer) = peer else { return false };
    let mut byte = [0; 1];
    peer.write_all(&options("tls", "")).and_then(|()| peer.read(&mut byte)).is_ok_and(|size| size > 0)
}

#[test]
fn the_certificate_that_was_given_is_the_one_that_is_shown() {
    for ip in ["127.0.0.1", "[::1]"] {
        if ip == "[::1]" && std::net::UdpSocket::bind("[::1]:0").is_err() {
            continue;
        }
        let server = Server::start_at(ip, &identity());
        let mut peer = Client::connect(server.tls, false).expect("a certificate for this address, by an authority that we trust");
        peer.write_all(&options("tls-1", "")).expect("a request");
        assert!(first_line(&mut peer).starts_with("SIP/2.0 200 "));
    }
}

#[test]
fn with_mutual_tls_only_those_with_a_certificate_of_the_authority_are_served() {
    let server = Server::start(&format!("{}trusted = {:?}\nmutual = true\n", identity(), OURS.authority()));
    let stranger = Certificates::make("stranger", "127.0.0.1");
    assert!(!is_served(Client::connect(server.tls, false)), "a peer without a certificate");
    assert!(!is_served(Client::showing(server.tls, Some(&stranger))), "a peer whose certificate somebody else signed");
    assert!(is_served(Client::connect(server.tls, true)), "a peer with a certificate");
    assert!(server.udp_answers());
}
