//! TLS to the broker: whom we trust and who we are. The files are read at each connection, so that renewed certificates
//! count without a restart.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use thiserror::Error;

use crate::{
    firing::client::trust::{self, CaFileError},
    settings::AmqpSettings,
};

/// What the settings name.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    ca_files: Vec<PathBuf>,
    /// Certificate and key.
    client: Option<(PathBuf, PathBuf)>,
}

/// The files cannot be used; the operator's fault.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file of `amqp.ca_files`.
    #[error(transparent)]
    CaFile(#[from] CaFileError),
    /// Certificate or key of the client.
    #[error("{key}: {file} {problem}; name a readable PEM file, or delete both client settings")]
    ClientFile {
        /// The setting.
        key: &'static str,
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// They do not belong together, or TLS itself.
    #[error(
        "amqp.client_cert_file and amqp.client_key_file cannot be used together ({0}); name a certificate and its own key"
    )]
    Pair(rustls::Error),
    /// The machine's fault.
    #[error("the certificates cannot be read ({0})")]
    Reading(String),
}

impl TlsFiles {
    /// What the settings name.
    pub fn of(settings: &AmqpSettings) -> Self {
        let client = settings.client_cert_file.clone().zip(settings.client_key_file.clone());
        Self { ca_files: settings.ca_files.clone(), client }
    }

    /// Reads the files.
    pub async fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let files = self.clone();
        let read = tokio::task::spawn_blocking(move || files.read()).await;
        read.map_err(|error| TlsError::Reading(error.to_string()))?.map(Arc::new)
    }

    fn read(&self) -> Result<ClientConfig, TlsError> {
        let own = trust::read_ca_files("amqp.ca_files", &self.ca_files)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?
            .with_root_certificates(trust::roots(&own));
        let Some((cert_file, key_file)) = &self.client else { return Ok(builder.with_no_client_auth()) };
        let wrong = |key, file: &PathBuf, error: pem::Error| {
            let problem = match error {
                pem::Error::Io(error) => format!("cannot be read ({error})"),
                pem::Error::NoItemsFound => "has nothing of the kind".to_owned(),
                other => format!("is not PEM ({other})"),
            };
            TlsError::ClientFile { key, file: file.display().to_string(), problem }
        };
        let chain = CertificateDer::pem_file_iter(cert_file).and_then(Iterator::collect);
        let chain = chain.map_err(|error| wrong("amqp.client_cert_file", cert_file, error))?;
        let key = PrivateKeyDer::from_pem_file(key_file);
        let key = key.map_err(|error| wrong("amqp.client_key_file", key_file, error))?;
        builder.with_client_auth_cert(chain, key).map_err(TlsError::Pair)
    }
}
