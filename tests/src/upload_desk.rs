//! Where a tenant's uploads are checked: a host's checker without the host, with a cache of its own, so that everything is
//! compiled.

use std::sync::Arc;

use hookbox::{
    account::AccountTree,
    clock::Clock,
    message::{self, Source},
    module::{
        ModuleError, Step,
        check::{Checked, Checker, Subject, TrialFiring},
        compile_helper::CompileHelper,
        compiler::Compiler,
        engine::Engines,
        guest::{GuestLimits, Surroundings},
        loaded::Loader,
        reuse::IdleInstances,
    },
    settings::Settings,
};
use tempfile::TempDir;

use crate::{real_program::hookbox, samples::ACCOUNT, test_host::account};

/// A desk of [`ACCOUNT`].
pub struct UploadDesk {
    checker: Checker,
    settings: Settings,
    _cache: TempDir,
}

impl UploadDesk {
    /// One with these settings over the defaults, e.g. `("modules.compile_cpu_s", 1)`.
    pub fn with(settings: &[(&str, u64)]) -> Self {
        let variable = |key: &str| format!("HOOKBOX_{}", key.to_uppercase().replace('.', "__"));
        let settings = settings.iter().map(|(key, value)| (variable(key), value.to_string()));
        let settings = Settings::from_parts(None, settings).unwrap_or_else(|error| panic!("{error}"));
        let cache = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let modules = settings.modules.clone();
        let engines = Engines::new(&modules).unwrap_or_else(|error| panic!("no engines: {error:#}"));
        let helper = CompileHelper::new(Some(&hookbox()), &modules);
        let bytes_max = usize::try_from(modules.component_bytes_max).unwrap_or(usize::MAX);
        let compiler = Compiler::new(cache.path(), &[7; 32], bytes_max, helper);
        let compiler = compiler.unwrap_or_else(|error| panic!("no cache: {error}"));
        let firing = Arc::new(settings.firing.clone());
        let idle = Arc::new(IdleInstances::new(&modules));
        let (operators, account_limits) = (Arc::default(), Arc::default());
        let loader = Loader { engines, compiler, modules, firing, operators, idle, account_limits };
        Self { checker: Checker::new(Arc::new(loader), Clock::System), settings, _cache: cache }
    }

    /// Checks a component, and tries it with these messages.
    pub async fn check(
        &self,
        component: Vec<u8>,
        messages: &[crate::samples::Message],
    ) -> Result<Checked, ModuleError> {
        let messages: Vec<_> = messages.iter().map(|message| Arc::new(taken_in(message))).collect();
        let subject = Subject { messages: Box::new(move |_| messages), ..self.subject(&[]) };
        self.checker.check(component.into(), subject).await
    }

    /// Checks a component that finds these settings, and tries it with these firings.
    pub async fn check_transform(
        &self,
        component: Vec<u8>,
        settings: &[(&str, &str)],
        firings: impl IntoIterator<Item = TrialFiring>,
    ) -> Result<Checked, ModuleError> {
        let firings: Vec<_> = firings.into_iter().collect();
        let subject = Subject { firings: Box::new(move || firings), ..self.subject(settings) };
        self.checker.check(component.into(), subject).await
    }

    fn subject(&self, settings: &[(&str, &str)]) -> Subject {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Subject {
            surroundings: Surroundings {
                accounts: Arc::new(AccountTree::new(vec![account(ACCOUNT, &[])], Vec::new())),
                within: Some(ACCOUNT.into()),
                settings: Arc::new(settings.collect()),
            },
            limits: GuestLimits::new(&self.settings.modules),
            messages: Box::new(|_| Vec::new()),
            firings: Box::new(Vec::new),
        }
    }

    /// The step that refuses a component, and the reason.
    pub async fn refusal(&self, component: Vec<u8>) -> (Step, ModuleError) {
        match self.check(component, &[]).await {
            Err(ModuleError::Refused { step, error }) => (step, *error),
            Err(error) => panic!("not refused, but {error}"),
            Ok(checked) => panic!("it was not refused: {:?}", checked.report),
        }
    }
}

/// The message as a host has it.
pub fn taken_in(message: &crate::samples::Message) -> message::Message {
    let body = message.json();
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    message::Message {
        source: Source::Http,
        exchange: message.exchange.clone(),
        routing_key: message.routing_key.clone(),
        message_id: message.message_id.clone(),
        category: text("Event-Category"),
        name: text("Event-Name"),
        account: body["Account-ID"].as_str().map(Into::into),
        within: None,
        received_ms: 1_714_100_000_000,
        trace: None,
        body: body.to_string(),
    }
}
