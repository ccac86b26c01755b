//! The encrypted connection: the server's certificate is verified, chain and name, against the system's
//! certificates or those in a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::ArchiveError;

/// How to connect, trusting the certificates in `roots`, or else the system's.
pub fn connector(roots: Option<&Path>) -> Result<MakeRustlsConnect, ArchiveError> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(path) => {
            let failed = |reason: String| ArchiveError::Certificates { path: path.to_owned(), reason };
            let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|error| failed(error.to_string()))?;
            for certificate in certificates {
                store.add(certificate).map_err(|error| failed(error.to_string()))?;
            }
            if store.is_empty() {
                return Err(failed("it holds no certificate in PEM form".to_owned()));
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(system.certs);
            if store.is_empty() {
                let reason =
                    "the system has no certificates to trust; name a file with sslrootcert in the address";
                let path = PathBuf::from("system certificates");
                return Err(ArchiveError::Certificates { path, reason: reason.to_owned() });
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ArchiveError::Encryption(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
