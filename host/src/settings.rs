//! Settings: loaded and validated once at the start, never checked again.
//!
//! The defaults are `hookbox.example.toml`, compiled in; a file and the environment (`HOOKBOX_SECTION__KEY`) lie over
//! them. What is wrong is said in one sentence each: what, where, what to do.

mod amqp_urls;
mod bounds;
mod known;
mod proxy_url;
mod sections;

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use amqp_urls::AmqpUrls;
pub use bounds::{ATTEMPT_FAILURE_COUNT, ATTEMPT_FAILURE_EXPIRY_MS};
pub use proxy_url::ProxyUrl;
pub use sections::*;

/// The commented defaults, also what `hookbox serve` without a file runs with.
pub const EXAMPLE: &str = include_str!("../hookbox.example.toml");

/// All settings, one section a stage.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the section of its type")]
pub struct Settings {
    pub api: ApiSettings,
    pub store: StoreSettings,
    pub amqp: AmqpSettings,
    pub ingress: IngressSettings,
    pub master: MasterSettings,
    pub modules: ModuleSettings,
    pub messages: MessageSettings,
    pub firing: FiringSettings,
    pub attempts: AttemptSettings,
    pub dead_letters: DeadLetterSettings,
    pub webhooks: WebhookSettings,
    pub kazoo: KazooSettings,
    pub telemetry: TelemetrySettings,
    pub supervisor: SupervisorSettings,
    pub shutdown: ShutdownSettings,
}

/// The settings cannot be used; the operator's fault. One line a problem.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("{path}: cannot be read ({source}); name a readable file with --config, or leave it out for the defaults")]
    Unreadable {
        /// As given.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Something in the file or the environment is wrong.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

impl Settings {
    /// The defaults, `file` and the environment, validated.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let environment = std::env::vars().filter(|(name, _)| name.starts_with("HOOKBOX_") && name.contains("__"));
        Self::from_parts(file, environment)
    }

    /// As [`Settings::load`], with the environment as a value.
    pub fn from_parts(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut figment = Figment::from(Toml::string(EXAMPLE));
        let (mut problems, mut variables) = (Vec::new(), Vec::new());
        if let Some(path) = file {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|source| SettingsError::Unreadable { path: name.clone(), source })?;
            match text.parse::<toml::Table>() {
                Ok(table) => problems.extend(known::unknown_keys(&table, &name)),
                Err(error) => return Err(SettingsError::Invalid(vec![known::syntax_problem(&name, &text, &error)])),
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        for (variable, value) in environment {
            let path = variable["HOOKBOX_".len()..].to_lowercase().replace("__", ".");
            match known::unknown_variable(&variable, &path) {
                Some(problem) => problems.push(problem),
                None => {
                    figment = figment.merge((path.as_str(), known::variable_value(&value)));
                    variables.push(path);
                }
            }
        }
        if !problems.is_empty() {
            return Err(SettingsError::Invalid(problems));
        }
        let settings: Self = figment
            .extract()
            .map_err(|errors| SettingsError::Invalid(errors.into_iter().map(known::type_problem).collect()))?;
        let place = file.map_or_else(|| "settings".to_owned(), |path| path.display().to_string());
        let problems = bounds::problems(&settings, &place, &variables);
        if problems.is_empty() { Ok(settings) } else { Err(SettingsError::Invalid(problems)) }
    }

    /// The folder in which an SQLite store lies, else the current one: where the key file and the cache go by default.
    pub fn state_dir(&self) -> PathBuf {
        self.store
            .url
            .strip_prefix("sqlite:")
            .map(|path| Path::new(path.trim_start_matches("//")))
            .and_then(Path::parent)
            .filter(|parent| !parent.as_os_str().is_empty())
            .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
    }

    /// `store.key_file`, or its default.
    pub fn key_file(&self) -> PathBuf {
        self.store.key_file.clone().unwrap_or_else(|| self.state_dir().join("hookbox.key"))
    }

    /// `modules.cache_dir`, or its default.
    pub fn cache_dir(&self) -> PathBuf {
        self.modules.cache_dir.clone().unwrap_or_else(|| self.state_dir().join("module-cache"))
    }
}

impl Default for Settings {
    /// What the example says.
    #[expect(clippy::expect_used, reason = "the example is compiled in and a test loads it")]
    fn default() -> Self {
        Self::from_parts(None, std::iter::empty()).expect("the example settings are valid")
    }
}
