//! What a component can be registered as.

use serde::{Deserialize, Serialize};

/// Which of the two worlds of `wit/v1` a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `webhook-module`: makes events of messages.
    Module,
    /// `webhook-transform`: changes what a hook is sent.
    Transform,
}

impl Kind {
    /// `module` or `transform`, as in REST and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Transform => "transform",
        }
    }

    /// The world's name, with its version.
    pub fn world(self) -> &'static str {
        match self {
            Self::Module => "hookbox:webhook/webhook-module@1.0.0",
            Self::Transform => "hookbox:webhook/webhook-transform@1.0.0",
        }
    }

    /// The kind of this word.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "module" => Some(Self::Module),
            "transform" => Some(Self::Transform),
            _ => None,
        }
    }
}
