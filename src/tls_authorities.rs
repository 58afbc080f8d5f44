//! Whom connections under TLS trust: the authorities of the system, of `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`, or those of one file alone.
//!
//! The one place that chooses the implementation of the cryptography, and the versions of TLS.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as TlsFault, RootCertStore};

/// What a client trusts: a server's certificate must come from an authority of the PEM file, or
/// without one from an authority of the system, be in force, and name the server.
///
/// # Errors
/// What is wrong with the file; what the library says, where it offers no version of TLS.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let name = path.display();
        let read = |fault: &dyn Error| format!("`{name}` is no file of PEM certificates: {fault}");
        for certificate in CertificateDer::pem_file_iter(path).map_err(|fault| read(&fault))? {
            let certificate = certificate.map_err(|fault| read(&fault))?;
            roots.add(certificate).map_err(|fault| read(&fault))?;
        }
        if roots.is_empty() {
            return Err(format!("`{name}` has no PEM certificate of an authority"));
        }
    } else {
        // An unreadable one is ignored: the handshake then reports the untrusted certificate.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|fault| fault.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// What is wrong with a server's certificate, where that is why a connection failed.
#[must_use]
pub fn certificate_fault(fault: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(fault);
    while let Some(fault) = next {
        // What an error of the system wraps is not among its sources.
        let wrapped = fault.downcast_ref::<io::Error>().and_then(|fault| fault.get_ref());
        let found = match wrapped {
            Some(wrapped) => wrapped.downcast_ref::<TlsFault>(),
            None => fault.downcast_ref::<TlsFault>(),
        };
        if let Some(TlsFault::InvalidCertificate(fault)) = found {
            return Some(said_of(fault));
        }
        next = fault.source();
    }
    None
}

fn said_of(fault: &CertificateError) -> &'static str {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: renew it"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: compare the clocks"
        }
        CertificateError::UnknownIssuer => {
            "its certificate is from no authority that is trusted here: name the file with its authority"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate names another host: write the name that is in it"
        }
        _ => "its certificate is not valid",
    }
}
