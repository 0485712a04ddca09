//! Sets up TLS with a certificate and key from PEM files, and again when they were renewed.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem};
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
};

/// The name of HTTP/2 in TLS (RFC 9113, section 3.2).
pub(super) const HTTP_2: &[u8] = b"h2";

/// Why there can be no TLS with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(
        "the certificate {path}: {source}; it must be a PEM file, the server's certificate first"
    )]
    Certificate { path: PathBuf, source: pem::Error },
    #[error("the certificate {path}: there is none in it; it must be a PEM file")]
    NoCertificate { path: PathBuf },
    #[error("the key {path}: {source}; it must be a PEM file with an unencrypted private key")]
    Key { path: PathBuf, source: pem::Error },
    #[error("the certificate {certificate} and the key {key} can't be used: {source}")]
    Pair { certificate: PathBuf, key: PathBuf, source: rustls::Error },
}

/// The certificate and key of new connections.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the two files.
    ///
    /// # Errors
    /// When they are not there, are no PEM, or do not belong together.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(configuration(&certificate, &key)?);
        Ok(Self { certificate, key, current })
    }

    /// Reads the files anew, for connections from now on.
    ///
    /// # Errors
    /// As [`Tls::load`]. What was read before stays in use then.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(configuration(&self.certificate, &self.key)?));
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.load_full().into()
    }
}

fn configuration(certificate: &PathBuf, key: &PathBuf) -> Result<ServerConfig, TlsError> {
    let unreadable = |source| TlsError::Certificate { path: certificate.clone(), source };
    let chain = CertificateDer::pem_file_iter(certificate).map_err(unreadable)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: certificate.clone() });
    }
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|source| TlsError::Key { path: key.clone(), source })?;
    let unfit =
        |source| TlsError::Pair { certificate: certificate.clone(), key: key.clone(), source };
    let versions =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let mut configuration = versions
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unfit)?;
    configuration.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
    Ok(configuration)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Sets up a client that accepts any certificate, for the health check.
///
/// It sends no secret and asks only whether the server speaks TLS. Certificates are seldom made out
/// to the address that a machine has for itself.
#[expect(clippy::expect_used, reason = "ring implements the default protocol versions")]
pub(crate) fn client_for_any_server() -> ClientConfig {
    let provider = provider();
    let verifier = AnyCertificate(provider.signature_verification_algorithms);
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

/// Accepts every certificate whose key the server has.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
