//! Everything that a component can reach: `log`, `settings`, `accounts`, and a WASI 0.2 that has nothing behind it.

use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::{
    DynPollable, Pollable,
    bindings::clocks::monotonic_clock::{self, Duration, Instant},
    subscribe,
};

use super::{
    bindings::{
        WebhookModule,
        hookbox::webhook::{accounts, log, settings, types},
    },
    guest::Guest,
    guest_log::Level,
};
use crate::message::AccountId;

/// Links what the world lists, and nothing else.
pub fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    WebhookModule::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    // WASI's own clock lets a guest sleep inside a host call, where no deadline reaches it. Ours has always just rung.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, RungClock>(linker, |guest| RungClockView {
        now_ns: guest.now_ms.saturating_mul(1_000_000),
        table: guest.table(),
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The types need nothing of the host.
impl types::Host for Guest {}

impl log::Host for Guest {
    fn log(&mut self, level: log::Level, text: String) {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.write(level, &text);
    }
}

impl settings::Host for Guest {
    fn get(&mut self, key: String) -> Option<String> {
        self.surroundings.settings.get(&key).cloned()
    }

    fn all(&mut self) -> Vec<(String, String)> {
        self.surroundings.settings.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Guest {
    /// Whether this module may know of the account.
    fn sees(&self, account: &AccountId) -> bool {
        self.surroundings.within.as_ref().is_none_or(|root| self.surroundings.accounts.is_within(account, root))
    }
}

impl accounts::Host for Guest {
    fn reseller(&mut self, account: String) -> Option<String> {
        let account = AccountId::from(account);
        let reseller = self.surroundings.accounts.reseller(&account)?;
        (self.sees(&account) && self.sees(&reseller)).then(|| reseller.to_string())
    }

    fn ancestors(&mut self, account: String) -> Vec<String> {
        let account = AccountId::from(account);
        match self.surroundings.accounts.ancestors(&account) {
            Some(line) if self.sees(&account) => {
                line.iter().filter(|ancestor| self.sees(ancestor)).map(AccountId::to_string).collect()
            }
            _ => Vec::new(),
        }
    }

    fn account_of_number(&mut self, number: String) -> Option<String> {
        let account = self.surroundings.accounts.account_of_number(&number)?;
        self.sees(&account).then(|| account.to_string())
    }
}

/// The monotonic clock of guests: it stands still, and every alarm set on it has rung already.
struct RungClock;

struct RungClockView<'a> {
    now_ns: u64,
    table: &'a mut ResourceTable,
}

impl HasData for RungClock {
    type Data<'a> = RungClockView<'a>;
}

struct Rung;

#[async_trait::async_trait]
impl Pollable for Rung {
    async fn ready(&mut self) {}
}

impl RungClockView<'_> {
    fn rung(&mut self) -> wasmtime::Result<Resource<DynPollable>> {
        let alarm = self.table.push(Rung)?;
        subscribe(self.table, alarm)
    }
}

impl monotonic_clock::Host for RungClockView<'_> {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        Ok(self.now_ns)
    }

    fn resolution(&mut self) -> wasmtime::Result<Duration> {
        Ok(1_000_000)
    }

    fn subscribe_instant(&mut self, _when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        self.rung()
    }

    fn subscribe_duration(&mut self, _duration: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        self.rung()
    }
}
