//! TLS: certificates that are given, or made for the run, and whom a connection trusts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Fault;
use super::stream::Stream;

/// Where certificates come from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsFiles {
    /// Our certificate chain and its key (PEM); without them one is made for the run.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whom we trust (PEM); without it any certificate will do.
    pub trusted: Option<PathBuf>,
    /// Whether peers that connect must show a certificate which those have signed.
    pub mutual: bool,
}

/// The names that lead to an address, besides the address itself.
pub type Names = BTreeMap<IpAddr, Vec<String>>;

/// Both ends of TLS for one process.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    trusts_all: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("trusts_all", &self.trusts_all).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads certificates, or makes one for `own`. A peer's certificate has to carry its address, or
    /// a name by which the address is known.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or holds no certificate or key that fits.
    pub fn new(files: &TlsFiles, own: &[String], known: &Names) -> Result<Self, Fault> {
        let provider = Arc::new(ring::default_provider());
        let (chain, key) = match &files.identity {
            Some((chain, key)) => (read_chain(chain)?, read_key(key)?),
            None => made_for(own)?,
        };
        let own = chain.first().cloned();
        let trusted = files.trusted.as_deref().map(|path| roots(path, own.as_ref())).transpose()?.map(Arc::new);
        let server =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().map_err(broken)?;
        let server = match &trusted {
            Some(roots) if files.mutual => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(&provider));
                server.with_client_cert_verifier(verifier.build().map_err(broken)?)
            }
            _ => server.with_no_client_auth(),
        };
        let server = server.with_single_cert(chain.clone(), key.clone_key()).map_err(broken)?;
        let verifier: Arc<dyn ServerCertVerifier> = match trusted {
            Some(roots) => Arc::new(Known::new(roots, Arc::clone(&provider), known, own)?),
            None => Arc::new(Anyone(Arc::clone(&provider))),
        };
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(broken)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, key)
            .map_err(broken)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            trusts_all: files.trusted.is_none(),
        })
    }

    /// Whether certificates of peers are not checked against anything.
    pub const fn trusts_all(&self) -> bool {
        self.trusts_all
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<Stream> {
        let stream = self.acceptor.accept(stream).await?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }

    pub(super) async fn connect(&self, stream: TcpStream, peer: SocketAddr) -> std::io::Result<Stream> {
        let name = ServerName::IpAddress(peer.ip().into());
        let stream = self.connector.connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn made_for(names: &[String]) -> Result<Identity, Fault> {
    let made = rcgen::generate_simple_self_signed(names.to_vec()).map_err(broken)?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    Ok((vec![made.cert.der().clone()], key))
}

/// The names that a certificate for these addresses carries.
pub fn names_of(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<String> {
    let specific = addresses.into_iter().filter(|address| !address.is_unspecified());
    specific.map(|address| address.to_string()).chain(["localhost".to_owned()]).collect()
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|why| unreadable(path, &why))?;
    if certificates.is_empty() {
        return Err(Fault::Tls(format!("{} holds no certificate", path.display())));
    }
    Ok(certificates)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_file(path).map_err(|why| unreadable(path, &why))
}

/// Whom we trust: those of the file, and ourselves, since several actors of one process speak to each
/// other under one certificate.
fn roots(path: &Path, own: Option<&CertificateDer<'static>>) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(own.cloned());
    for certificate in read_chain(path)? {
        roots.add(certificate).map_err(broken)?;
    }
    Ok(roots)
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Fault {
    Fault::Tls(format!("{} cannot be read: {why}", path.display()))
}

fn broken(why: impl std::fmt::Display) -> Fault {
    Fault::Tls(why.to_string())
}

/// Takes a certificate that those whom we trust have signed for the address or one of its names, and
/// our own: who has its key is an actor of this process, at whatever address.
#[derive(Debug)]
struct Known {
    signed: Arc<WebPkiServerVerifier>,
    own: Option<CertificateDer<'static>>,
    names: BTreeMap<IpAddr, Vec<ServerName<'static>>>,
}

impl Known {
    fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
        known: &Names,
        own: Option<CertificateDer<'static>>,
    ) -> Result<Self, Fault> {
        let signed = WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(broken)?;
        // What is no name of DNS stands in no certificate.
        let dns = |names: &Vec<String>| names.iter().filter_map(|name| ServerName::try_from(name.clone()).ok()).collect();
        Ok(Self { signed, own, names: known.iter().map(|(address, names)| (*address, dns(names))).collect() })
    }
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.own.as_ref().is_some_and(|own| own == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let carries = |name: &ServerName<'_>| self.signed.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        let known = match server_name {
            ServerName::IpAddress(address) => self.names.get(&IpAddr::from(*address)).map_or(&[][..], Vec::as_slice),
            _ => &[],
        };
        let refused = match carries(server_name) {
            Ok(verified) => return Ok(verified),
            Err(refused) => refused,
        };
        known.iter().find_map(|name| carries(name).ok()).ok_or(refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

/// Takes any certificate: between test systems nobody has signed them. The handshake itself is
/// checked as always.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
