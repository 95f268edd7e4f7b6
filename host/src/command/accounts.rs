//! `hookbox accounts`: the tree of accounts of a host, and what can be done with it.

use std::{collections::BTreeMap, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    rest::{Connection, Flags, Host, Refusal, path},
    table::{Table, print_fields, print_json, say, text},
};
use crate::message::Object;

/// Each level of the tree is so far to the right of the one above.
const INDENT: &str = "  ";
/// What stands first of an account; its other fields follow.
const FIRST_FIELDS: [&str; 5] = ["id", "name", "realm", "is_reseller", "reseller_id"];
const FLAGS: Flags = &[("id", "--id"), ("realm", "--realm"), ("language", "--language"), ("to", "TO")];

/// See and change the tree of accounts.
#[derive(Debug, Args)]
pub(super) struct Accounts {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// An account and all that are below it, as a tree.
    List {
        /// At the top; --account, or the key's own, when absent.
        id: Option<String>,
    },
    /// One account.
    Show {
        /// Which; --account, or the key's own, when absent.
        id: Option<String>,
    },
    /// Make an account below --account (the key's own when absent). Its first key is printed, once.
    Create {
        /// For people.
        name: String,
        /// 32 hex digits, or 1 to 64 of a-z 0-9 _ -; made when absent.
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change some fields of an account.
    Edit {
        /// Which.
        id: String,
        /// For people.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        fields: Fields,
    },
    /// Put an account, with all that are below it, below another one. For the operator.
    Move {
        /// Which.
        id: String,
        /// Below which.
        to: String,
    },
    /// Delete an account, with its hooks, keys, numbers and settings, and all accounts below it with theirs.
    Delete {
        /// Which.
        id: String,
        /// Also when there are accounts below it.
        #[arg(long)]
        yes: bool,
    },
    /// Make an account a reseller. For the operator.
    Promote {
        /// Which.
        id: String,
    },
    /// Make an account a reseller no more. For the operator.
    Demote {
        /// Which.
        id: String,
    },
}

/// Fields of an account.
#[derive(Debug, Args)]
struct Fields {
    /// Its SIP domain; no two accounts have the same.
    #[arg(long)]
    realm: Option<String>,
    /// The language of its users.
    #[arg(long)]
    language: Option<String>,
    /// Any other field: VALUE is JSON, else a text; null removes the field. May be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, Value)>,
}

impl Accounts {
    /// Does it.
    pub(super) async fn run(self) -> ExitCode {
        self.connection.run(FLAGS, async |host| self.what.done(host).await).await
    }
}

impl What {
    async fn done(&self, host: &Host) -> Result<(), Refusal> {
        match self {
            Self::List { id } => list(host, named(host, id.as_deref()).await?).await,
            Self::Show { id } => {
                print(host, &host.get(&of(named(host, id.as_deref()).await?)).await?);
                Ok(())
            }
            Self::Create { name, id, fields } => create(host, name, id.as_deref(), fields).await,
            Self::Edit { id, name, fields } => {
                let body = fields.body(name.as_deref());
                if body.is_empty() {
                    let message = "nothing is to be changed: use --name, --realm, --language or --set KEY=VALUE";
                    return Err(Refusal::Unable(message.to_owned()));
                }
                print(host, &host.patch(&of(id), Value::Object(body)).await?);
                Ok(())
            }
            Self::Move { id, to } => {
                print(host, &host.post(&path(&["accounts", id, "move"]), json!({"to": to})).await?);
                Ok(())
            }
            Self::Delete { id, yes } => delete(host, id, *yes).await,
            Self::Promote { id } => {
                print(host, &host.put(&path(&["accounts", id, "reseller"]), json!({})).await?);
                Ok(())
            }
            Self::Demote { id } => {
                print(host, &host.delete(&path(&["accounts", id, "reseller"])).await?);
                Ok(())
            }
        }
    }
}

impl Fields {
    fn body(&self, name: Option<&str>) -> Object {
        let texts = [("name", name), ("realm", self.realm.as_deref()), ("language", self.language.as_deref())];
        let texts = texts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?))));
        texts.chain(self.set.iter().cloned()).collect()
    }
}

fn of(account: &str) -> String {
    path(&["accounts", account])
}

async fn named<'h>(host: &'h Host, id: Option<&'h str>) -> Result<&'h str, Refusal> {
    match id {
        Some(id) => Ok(id),
        None => host.account().await,
    }
}

async fn list(host: &Host, top: &str) -> Result<(), Refusal> {
    let first = host.get(&of(top)).await?;
    let below = host.list(&path(&["accounts", top, "descendants"]), &[], None).await?;
    if host.json {
        print_json(&std::iter::once(first).chain(below).collect());
        return Ok(());
    }
    let mut table = Table::new(&["name", "id", "realm", "reseller"]);
    for (depth, account) in as_a_tree(&first, &below) {
        let name = INDENT.repeat(depth) + &text(&account["name"]);
        let reseller = if account["is_reseller"] == true { "yes" } else { "-" };
        table.row([name, text(&account["id"]), text(&account["realm"]), reseller.to_owned()]);
    }
    table.print("");
    Ok(())
}

/// Accounts with their depth below the first: each before those below it, beside each other by name.
fn as_a_tree<'v>(first: &'v Value, below: &'v [Value]) -> Vec<(usize, &'v Value)> {
    let mut children: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for account in below {
        let parent = account["tree"].as_array().and_then(|tree| tree.last()).and_then(Value::as_str);
        children.entry(parent.unwrap_or_default()).or_default().push(account);
    }
    let (mut tree, mut next) = (Vec::new(), vec![(0, first)]);
    while let Some((depth, account)) = next.pop() {
        tree.push((depth, account));
        let mut own = children.remove(account["id"].as_str().unwrap_or_default()).unwrap_or_default();
        own.sort_by_key(|child| (text(&child["name"]), text(&child["id"])));
        next.extend(own.into_iter().rev().map(|child| (depth + 1, child)));
    }
    // Their parent went elsewhere while the list was read.
    tree.extend(children.into_values().flatten().map(|account| (1, account)));
    tree
}

async fn create(host: &Host, name: &str, id: Option<&str>, fields: &Fields) -> Result<(), Refusal> {
    let mut body = fields.body(Some(name));
    if let Some(id) = id {
        body.insert("id".to_owned(), json!(id));
    }
    let mut made = host.put(&of(host.account().await?), Value::Object(body)).await?;
    if host.json {
        print_json(&made);
        return Ok(());
    }
    let key = made["api_key"].take();
    print(host, &made);
    say(&format!("key {}", text(&key)));
    say("This is the account's first key. It is shown only now: keep it.");
    Ok(())
}

async fn delete(host: &Host, id: &str, yes: bool) -> Result<(), Refusal> {
    if !yes {
        let below = host.list(&path(&["accounts", id, "descendants"]), &[], None).await?.len();
        if below > 0 {
            let message =
                format!("accounts that would be deleted with {id}, being below it: {below}; if so, add --yes");
            return Err(Refusal::Unable(message));
        }
    }
    let gone = host.delete(&of(id)).await?;
    match host.json {
        true => print_json(&gone),
        false => say(&format!("account {} ({}) is deleted", text(&gone["id"]), text(&gone["name"]))),
    }
    Ok(())
}

fn print(host: &Host, account: &Value) {
    if host.json {
        return print_json(account);
    }
    let others = account.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    let others = others.filter(|key| !FIRST_FIELDS.contains(key) && !key.starts_with('_'));
    let fields: Vec<_> = FIRST_FIELDS.into_iter().chain(others).map(|key| (key, text(&account[key]))).collect();
    print_fields(&fields);
}

/// `KEY=VALUE`, the value being JSON, else a text.
fn key_and_value(given: &str) -> Result<(String, Value), String> {
    let (key, value) = given.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("use KEY=VALUE")?;
    Ok((key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_stands_below_its_parent() {
        let account = |id: &str, tree: &[&str]| json!({"id": id, "name": id, "tree": tree});
        let top = account("t", &[]);
        let below = [
            account("a", &["t", "z"]),
            account("b", &["t"]),
            account("c", &["t", "z", "a"]),
            account("lost", &["t", "gone"]),
            account("z", &["t"]),
        ];
        let tree = as_a_tree(&top, &below);
        let shown: Vec<_> = tree.iter().map(|(depth, account)| format!("{depth}{}", text(&account["id"]))).collect();
        assert_eq!(shown, ["0t", "1b", "1z", "2a", "3c", "1lost"]);
    }

    #[test]
    fn values_are_json_or_texts() {
        assert_eq!(key_and_value("a=1"), Ok(("a".to_owned(), json!(1))));
        assert_eq!(key_and_value("a=x=y"), Ok(("a".to_owned(), json!("x=y"))));
        assert_eq!(key_and_value("a=null"), Ok(("a".to_owned(), Value::Null)));
        assert!(key_and_value("a").is_err() && key_and_value("=a").is_err());
    }
}
