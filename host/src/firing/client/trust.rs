//! Whose certificates are trusted: the system's, and those that the settings name (`firing.ca_files` for receivers,
//! `amqp.ca_files` for the broker).

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject},
    },
};
use thiserror::Error;
use tracing::warn;

/// Where systems keep, in one file, the certificates that they trust: Debian, Red Hat, SUSE, the BSDs and Alpine.
const SYSTEM_FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// A file of a list of authorities cannot be used; the operator's fault.
#[derive(Debug, Error)]
#[error(
    "{key}: {file} {problem}; name a readable PEM file with the certificates of an authority, or take it off the list"
)]
pub struct CaFileError {
    key: &'static str,
    file: String,
    problem: String,
}

/// The certificates of the files that the setting `key` lists, each of which can be an authority's.
pub fn read_ca_files(key: &'static str, files: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, CaFileError> {
    let mut all = Vec::new();
    for file in files {
        let wrong = |problem: String| CaFileError { key, file: file.display().to_string(), problem };
        let certificates = certificates_of(file).map_err(|error| {
            wrong(match error {
                pem::Error::Io(error) => format!("cannot be read ({error})"),
                other => format!("is not PEM ({other})"),
            })
        })?;
        if certificates.is_empty() {
            return Err(wrong("has no certificate".to_owned()));
        }
        for certificate in &certificates {
            let usable = RootCertStore::empty().add(certificate.clone());
            usable.map_err(|error| wrong(format!("has a certificate that cannot be used ({error})")))?;
        }
        all.extend(certificates);
    }
    Ok(all)
}

/// What TLS through a proxy begins with: trusts as [`reqwest`] does on the direct way, and speaks HTTP/1.1.
pub(super) fn tls_config(own: &[CertificateDer<'static>]) -> ClientConfig {
    let mut config = ClientConfig::builder().with_root_certificates(roots(own)).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Who may vouch for a server: the system's authorities and `own`.
pub fn roots(own: &[CertificateDer<'static>]) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system_certificates());
    if roots.is_empty() {
        warn!("no TLS certificates can be loaded from the system; only those that the settings name are trusted");
    }
    roots.add_parsable_certificates(own.iter().cloned());
    Arc::new(roots)
}

/// The system's file, or the one that `SSL_CERT_FILE` names instead, as for every program that uses OpenSSL.
fn system_certificates() -> Vec<CertificateDer<'static>> {
    let named = env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let file = named.or_else(|| SYSTEM_FILES.iter().map(PathBuf::from).find(|file| file.is_file()));
    file.and_then(|file| certificates_of(&file).ok()).unwrap_or_default()
}

fn certificates_of(file: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_file_iter(file)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let said = |content: Option<&str>| {
            let file = folder.path().join("ca.pem");
            let _ = std::fs::remove_file(&file);
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            let said = read_ca_files("firing.ca_files", std::slice::from_ref(&file)).unwrap_err().to_string();
            said.replace(&folder.path().display().to_string(), "")
        };
        let remedy = "name a readable PEM file with the certificates of an authority, or take it off the list";
        for (content, problem) in [
            (None, "cannot be read (No such file or directory (os error 2))"),
            (Some(""), "has no certificate"),
            (Some("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "has no certificate"),
        ] {
            assert_eq!(said(content), format!("firing.ca_files: /ca.pem {problem}; {remedy}"));
        }
        let garbage = said(Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
        assert!(garbage.contains("/ca.pem has a certificate that cannot be used ("), "{garbage}");
        let broken = said(Some("-----BEGIN CERTIFICATE-----\nAAAA\n"));
        assert!(broken.contains("/ca.pem is not PEM ("), "{broken}");
    }
}
