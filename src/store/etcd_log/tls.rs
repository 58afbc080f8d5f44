//! TLS to etcd: trusted authorities and the certificate of this client.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::connection_settings::{ClientCertificate, EtcdSettings};
use crate::tls_authorities;

/// What opens connections with TLS.
///
/// # Errors
/// Which file cannot be read, or holds nothing of use.
pub(super) fn connector(settings: &EtcdSettings) -> Result<TlsConnector, String> {
    let mut config = tls_authorities::client_config(settings.ca_file.as_deref())?;
    if let Some(own) = &settings.client_certificate {
        config.client_auth_cert_resolver = own_certificate(own, config.crypto_provider())?;
    }
    Ok(TlsConnector::from(Arc::new(config)))
}

fn own_certificate(
    own: &ClientCertificate,
    provider: &CryptoProvider,
) -> Result<Arc<dyn ResolvesClientCert>, String> {
    let key = PrivateKeyDer::from_pem_file(&own.key_file)
        .map_err(|fault| unusable(&own.key_file, &fault))?;
    let chain: Vec<_> = CertificateDer::pem_file_iter(&own.certificate_file)
        .and_then(Iterator::collect)
        .map_err(|fault| unusable(&own.certificate_file, &fault))?;
    if chain.is_empty() {
        return Err(unusable(&own.certificate_file, &"it holds no certificate as PEM"));
    }
    let pair = CertifiedKey::from_der(chain, key, provider)
        .map_err(|fault| unusable(&own.certificate_file, &fault))?;
    Ok(Arc::new(SingleCertAndKey::from(pair)))
}

fn unusable(file: &Path, why: &dyn std::fmt::Display) -> String {
    format!("`{}` cannot be used for TLS to etcd: {why}", file.display())
}
