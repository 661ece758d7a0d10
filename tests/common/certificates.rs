//! Certificates for 127.0.0.1 and ::1, signed by an authority of these tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// The certificates of this process.
pub(crate) static OURS: LazyLock<Certificates> = LazyLock::new(|| Certificates::make("ours", "127.0.0.1"));

/// A certificate (PEM), its key, and who signed it.
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// An authority of its own, and a certificate of it that carries `name` and the addresses of loopback.
    pub(crate) fn make(folder: &str, name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("certificates-{}-{folder}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Authority of the tests");
        let key = KeyPair::generate().expect("a key");
        let signed = authority.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(authority, key);
        let names = if name == "127.0.0.1" { vec![name.to_owned(), "::1".to_owned()] } else { vec![name.to_owned()] };
        let mut own = CertificateParams::new(names).expect("names");
        own.distinguished_name.push(DnType::CommonName, name);
        let own_key = KeyPair::generate().expect("a key");
        let certificate = own.signed_by(&own_key, &issuer).expect("a certificate");
        for (file, text) in
            [("authority.pem", signed.pem()), ("certificate.pem", certificate.pem()), ("key.pem", own_key.serialize_pem())]
        {
            fs::write(folder.join(file), text).expect("a file");
        }
        Self { folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// Who signed it.
    pub(crate) fn authority(&self) -> String {
        self.file("authority.pem")
    }

    /// The certificate.
    pub(crate) fn certificate(&self) -> String {
        self.file("certificate.pem")
    }

    /// Its key.
    pub(crate) fn key(&self) -> String {
        self.file("key.pem")
    }
}
