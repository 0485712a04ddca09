//! Makes a self-signed certificate, and HTTPS requests that trust it alone.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Version, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::process::TIMEOUT;

pub struct Certificate(CertificateDer<'static>);

impl Certificate {
    /// Writes a new certificate for this machine to `cert.pem`, and its key to `key.pem`.
    pub fn write(folder: &Path, common_name: &str) -> Self {
        let mut params = CertificateParams::new(["localhost".into(), "127.0.0.1".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
        fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        Self(certificate.der().clone())
    }

    /// Requests a path from a server that must show this certificate, by the best of the offered
    /// versions of HTTP that the server speaks. Every status but 200 is an error.
    pub fn get(
        &self,
        address: &str,
        path: &str,
        offered: &[Version],
    ) -> anyhow::Result<(Version, Bytes)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let exchange = async {
                let stream = self.connect(address, offered).await?;
                request(stream, address, path).await
            };
            tokio::time::timeout(TIMEOUT, exchange).await?
        })
    }

    async fn connect(
        &self,
        address: &str,
        offered: &[Version],
    ) -> anyhow::Result<TlsStream<TcpStream>> {
        let mut trusted = RootCertStore::empty();
        trusted.add(self.0.clone())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let alpn = |version: &Version| if *version == Version::HTTP_2 { "h2" } else { "http/1.1" };
        config.alpn_protocols = offered.iter().map(|version| alpn(version).into()).collect();
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(host.to_owned())?;
        Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    }
}

async fn request(
    stream: TlsStream<TcpStream>,
    address: &str,
    path: &str,
) -> anyhow::Result<(Version, Bytes)> {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = TokioIo::new(stream);
    let response = if is_http2 {
        let request =
            Request::get(format!("https://{address}{path}")).body(Empty::<Bytes>::new())?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    } else {
        let request =
            Request::get(path).header(header::HOST, address).body(Empty::<Bytes>::new())?;
        let (mut sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    };
    ensure!(response.status() == 200, "{}", response.status());
    let version = response.version();
    Ok((version, response.into_body().collect().await?.to_bytes()))
}
