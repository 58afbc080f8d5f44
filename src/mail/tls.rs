//! TLS to the mail server. Trusted authorities are those of the system, or those of `SSL_CERT_FILE`
//! and `SSL_CERT_DIR`.

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::smtp_replies::Stream;

/// Trusted authorities.
pub(super) struct Tls(TlsConnector);

impl Tls {
    /// Loads the authorities.
    ///
    /// # Errors
    /// What the library says, where it offers no version of TLS.
    pub(super) fn new() -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        // An unreadable one is ignored: the handshake then reports the untrusted certificate.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|fault| fault.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// The handshake with a host, whose certificate must name it.
    pub(super) async fn handshake(
        &self,
        host: &str,
        stream: Box<dyn Stream>,
    ) -> io::Result<Box<dyn Stream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, NO_NAME))?;
        Ok(Box::new(self.0.connect(name, stream).await?))
    }
}

const NO_NAME: &str = "no certificate can name such a host";
