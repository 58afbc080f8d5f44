//! TLS to the mail server.

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::smtp_replies::Stream;
use crate::tls_authorities;

/// Trusted authorities.
pub(super) struct Tls(TlsConnector);

impl Tls {
    /// Loads the authorities.
    ///
    /// # Errors
    /// What the library says, where it offers no version of TLS.
    pub(super) fn new() -> Result<Self, String> {
        let config = tls_authorities::client_config(None)?;
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
