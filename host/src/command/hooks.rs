//! `hookbox hooks …`: an account's hooks over REST. Every call says what it did in a table, fields or a sentence, or with
//! `--json` prints what the host answered.

mod fields;
mod resend_jobs;
mod sending;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::{
    fields::{FLAGS, Fields},
    resend_jobs::ResendJobs,
    sending::{Resend, Test, Undelivered},
};
use super::{
    rest::{Connection, Host, Refusal},
    table::{self, Table, print_fields, print_json, say},
};

const MAKE_EXAMPLES: &str = "\
Examples:
  hookbox hooks create --name 'Calls to our CRM' --uri https://crm.example.com/calls --hook channel_create \\
      --format json --filter '/caller_id_number prefix +1312' --header 'X-Api-Version: 2'
  hookbox hooks create --name Users --uri https://crm.example.com/users --hook object \\
      --custom-data type=user --custom-data action=doc_edited
  hookbox hooks create --from-file hook.json";
const EDIT_EXAMPLES: &str = "\
Examples:
  hookbox hooks edit 5c1d… --uri https://crm.example.com/v2/calls --retry-schedule 2,10,60
  hookbox hooks edit 5c1d… --unset filter --unset rate-limit-per-s";

/// What to do with hooks.
#[derive(Debug, Args)]
pub(super) struct Hooks {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    call: Call,
}

#[derive(Debug, Subcommand)]
enum Call {
    /// List an account's hooks, and why those are off that the host switched off.
    List {
        /// This many at most.
        #[arg(long, value_name = "NUMBER")]
        limit: Option<usize>,
    },
    /// Show a hook.
    Show(One),
    /// Make a hook. Its secret is shown then, and never again.
    #[command(after_help = MAKE_EXAMPLES)]
    Create(Box<Fields>),
    /// Change what is named of a hook, and leave the rest.
    #[command(after_help = EDIT_EXAMPLES)]
    Edit(Box<Edit>),
    /// Have a hook fire, also one that was switched off for failing.
    Enable(One),
    /// Have a hook not fire any more.
    Disable(One),
    /// Delete a hook. What it still had to fire is dropped; its attempts stay listed.
    Delete(One),
    /// Fire a sample at a hook, once, also at a disabled one; exit code 1 when the receiver does not take it.
    Test(Test),
    /// Send again what a hook was never delivered: all of it, or the firings of these ids.
    Resend(Resend),
    /// List what a hook was never delivered, what was given up last first.
    Undelivered(Undelivered),
    /// Change a hook's secret; requests are signed with the old one too for firing.old_secret_hours (24).
    RotateSecret {
        #[command(flatten)]
        one: One,
        /// The new one: whsec_ and the base64 of 24 to 64 random bytes; without it, the host makes one. Other users of
        /// this machine can see a command line.
        #[arg(long, value_name = "WHSEC")]
        secret: Option<String>,
    },
    /// Print the public key that a hook's v1a signatures (--signature ed25519) are checked with.
    PublicKey(One),
    /// Enable all hooks of the account again that were switched off for failing. Those that were disabled by hand stay so.
    ReEnable {
        /// Those of all accounts below it, too.
        #[arg(long)]
        descendants: bool,
    },
    /// Send again what was fired in a time, in the background.
    #[command(subcommand)]
    ResendJobs(ResendJobs),
}

#[derive(Debug, Args)]
struct One {
    /// The hook's id.
    #[arg(value_name = "HOOK_ID")]
    hook_id: String,
}

#[derive(Debug, Args)]
struct Edit {
    #[command(flatten)]
    one: One,
    /// A field to remove, by its flag's name or its own; its default counts then. --custom-data, --header, --filter and
    /// --modifier replace all that the hook has of them.
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    unset: Vec<String>,
    #[command(flatten)]
    fields: Fields,
}

impl Hooks {
    /// Does it; exit code 1 when the host said no, or not all was done.
    pub(super) async fn run(self) -> ExitCode {
        self.connection.run(FLAGS, async |host: &Host| self.call.run(host).await).await
    }
}

impl Call {
    async fn run(&self, host: &Host) -> Result<(), Refusal> {
        match self {
            Self::List { limit } => list(host, *limit).await,
            Self::Show(One { hook_id }) => shown(host, &host.get(&of_hook(host, hook_id, &[]).await?).await?),
            Self::Create(fields) => create(host, fields).await,
            Self::Edit(edit) => edit.run(host).await,
            Self::Enable(One { hook_id }) => switch(host, hook_id, true).await,
            Self::Disable(One { hook_id }) => switch(host, hook_id, false).await,
            Self::Delete(One { hook_id }) => {
                let deleted = host.delete(&of_hook(host, hook_id, &[]).await?).await?;
                said(host, &deleted, &format!("{hook_id} is deleted"))
            }
            Self::Test(test) => test.run(host).await,
            Self::Resend(resend) => resend.run(host).await,
            Self::Undelivered(undelivered) => undelivered.run(host).await,
            Self::RotateSecret { one, secret } => rotate_secret(host, &one.hook_id, secret.as_deref()).await,
            Self::PublicKey(One { hook_id }) => {
                let key = host.get(&of_hook(host, hook_id, &["public_key"]).await?).await?;
                said(host, &key, key["public_key"].as_str().unwrap_or_default())
            }
            Self::ReEnable { descendants } => {
                let below: &[&str] = if *descendants { &["descendants", "webhooks"] } else { &["webhooks"] };
                let answer = host.patch(&host.in_account(below).await?, json!({"re-enable": true})).await?;
                said(host, &answer, "hooks that were switched off for failing are enabled again")
            }
            Self::ResendJobs(jobs) => jobs.run(host).await,
        }
    }
}

impl Edit {
    async fn run(&self, host: &Host) -> Result<(), Refusal> {
        let mut changes = self.fields.document()?;
        changes.extend(self.unset.iter().map(|named| (fields::field(named).to_owned(), Value::Null)));
        if changes.is_empty() {
            return Err(Refusal::Unable("say what to change; --help lists the flags".to_owned()));
        }
        let path = of_hook(host, &self.one.hook_id, &[]).await?;
        shown(host, &host.patch(&path, Value::Object(changes)).await?)
    }
}

/// A path below a hook.
async fn of_hook(host: &Host, hook: &str, rest: &[&str]) -> Result<String, Refusal> {
    host.in_account(&[&["webhooks", hook], rest].concat()).await
}

async fn list(host: &Host, limit: Option<usize>) -> Result<(), Refusal> {
    let hooks = host.list(&host.in_account(&["webhooks"]).await?, &[], limit).await?;
    if host.json {
        print_json(&Value::Array(hooks));
        return Ok(());
    }
    let mut table = Table::new(&["id", "name", "event", "fires", "uri", "switched off"]);
    for hook in &hooks {
        table.row([
            table::text(&hook["id"]),
            table::text(&hook["name"]),
            table::text(&hook["hook"]),
            if hook["enabled"] == json!(false) { "no".to_owned() } else { "yes".to_owned() },
            table::cut(&table::text(&hook["uri"]), table::URI_WIDTH),
            table::text(&hook["disable_reason"]),
        ]);
    }
    table.print("the account has no hooks; `hookbox hooks create --help` says how to make one");
    Ok(())
}

async fn create(host: &Host, fields: &Fields) -> Result<(), Refusal> {
    let document = fields.document()?;
    let hook = host.put(&host.in_account(&["webhooks"]).await?, Value::Object(document)).await?;
    if host.json {
        print_json(&hook);
        return Ok(());
    }
    print_fields(&[("made", table::text(&hook["id"])), ("secret", table::text(&hook["secret"]))]);
    say("The secret is shown this once: give it to whoever checks the signatures.");
    Ok(())
}

async fn switch(host: &Host, hook: &str, is_on: bool) -> Result<(), Refusal> {
    let changed = host.patch(&of_hook(host, hook, &[]).await?, json!({"enabled": is_on})).await?;
    said(host, &changed, &format!("{hook} is {}", if is_on { "enabled" } else { "disabled" }))
}

async fn rotate_secret(host: &Host, hook: &str, named: Option<&str>) -> Result<(), Refusal> {
    let body = named.map_or_else(|| json!({}), |secret| json!({"secret": secret}));
    let rotated = host.post(&of_hook(host, hook, &["secret"]).await?, body).await?;
    if host.json {
        print_json(&rotated);
        return Ok(());
    }
    let old_until =
        rotated["old_until"].as_array().into_iter().flatten().map(table::time).collect::<Vec<_>>().join(", ");
    let old_until = if old_until.is_empty() { "at once, none is left".to_owned() } else { old_until };
    print_fields(&[("secret", table::text(&rotated["secret"])), ("old ones end", old_until)]);
    say("The secret is shown this once: give it to whoever checks the signatures.");
    Ok(())
}

/// Prints a whole hook.
fn shown(host: &Host, hook: &Value) -> Result<(), Refusal> {
    if host.json {
        print_json(hook);
        return Ok(());
    }
    let own = hook.as_object().into_iter().flatten().filter(|(name, _)| *name != "id");
    let own = own.map(|(name, value)| (name.as_str(), table::text(value)));
    let fields: Vec<_> = [("id", table::text(&hook["id"]))].into_iter().chain(own).collect();
    print_fields(&fields);
    Ok(())
}

/// Prints what was done: a sentence, or the host's answer.
fn said(host: &Host, answer: &Value, sentence: &str) -> Result<(), Refusal> {
    if host.json {
        print_json(answer)
    } else {
        say(sentence)
    }
    Ok(())
}
