//! Samples: files with what is handed to a component, what stands around it meanwhile, and what is expected of it. What
//! is handed in is the component's kind's ([`super::messages`], [`super::firings`]).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::Value;

use super::{on_stage::OnStage, stage::Stage};
use crate::{
    account::{Account, AccountTree},
    message::Object,
    module::guest::Surroundings,
};

/// What is handed in, what stands around the component meanwhile, and what is expected of it.
pub(super) struct Sample<H> {
    /// Its file's name, and its place in the file when that holds several.
    pub(super) name: String,
    /// What is handed in.
    pub(super) handed: H,
    /// Settings and accounts that the component finds when it asks.
    pub(super) surroundings: Surroundings,
    /// In the form of [`super::stage::Played::answer`]; `None` for what is handed in bare.
    pub(super) expected: Option<Value>,
}

/// The part of a sample that is the same for all components.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Around {
    #[serde(rename = "about")]
    _about: Option<String>,
    settings: BTreeMap<String, Value>,
    accounts: Accounts,
}

/// What the `accounts` import is to answer.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Accounts {
    /// Account → its nearest reseller.
    resellers: BTreeMap<String, String>,
    /// Account → those above it, from the root down.
    ancestors: BTreeMap<String, Vec<String>>,
    /// Phone number → the account that it is assigned to.
    numbers: BTreeMap<String, String>,
}

/// Samples, each with its file.
pub(super) type Filed<H> = Vec<(PathBuf, Sample<H>)>;

/// The samples of a folder (`*.json`), by name.
pub(super) fn in_folder<C: OnStage>(folder: &Path, stage: &Stage) -> Result<Filed<C::Handed>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let of = |path: PathBuf| {
        let sample = of_file::<C>(file_name(&path), object(&path)?, stage);
        Ok((path.clone(), sample.map_err(|reason| format!("{}: {reason}", path.display()))?))
    };
    files.into_iter().map(of).collect()
}

/// What one file holds: a sample, what is handed in and nothing else, an array of such, or one a line.
pub(super) fn in_file<C: OnStage>(
    path: &Path,
    stage: &Stage,
    given: &BTreeMap<String, String>,
) -> Result<Vec<Sample<C::Handed>>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wrong = |reason: String| format!("{}: {reason}", path.display());
    let values = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Array(values)) => values,
        Ok(value) => vec![value],
        Err(_) => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let values: Result<_, _> = lines.map(serde_json::from_str).collect();
            values.map_err(|error| wrong(format!("it is neither JSON nor JSON lines: {error}")))?
        }
    };
    let several = values.len() > 1;
    let named = |at: usize| match several {
        true => format!("{}[{at}]", file_name(path)),
        false => file_name(path),
    };
    let of = |(at, value): (usize, Value)| {
        let read = match value {
            Value::Object(file) if file.contains_key(C::HANDED) => of_file::<C>(named(at), file, stage),
            bare => C::handed(bare, None, stage).map(|(handed, accounts)| {
                let surroundings = Surroundings { accounts, within: None, settings: Arc::default() };
                Sample { name: named(at), handed, surroundings, expected: None }
            }),
        };
        let mut sample = read.map_err(wrong)?;
        if !given.is_empty() {
            let settings = sample.surroundings.settings.iter().chain(given);
            sample.surroundings.settings =
                Arc::new(settings.map(|(key, value)| (key.clone(), value.clone())).collect());
        }
        Ok(sample)
    };
    values.into_iter().enumerate().map(of).collect()
}

/// Writes down what the component answers as what is expected, and leaves the rest of the file as it is.
pub(super) fn accept<C: OnStage>(path: &Path, answer: &Value, handed: &C::Handed) -> Result<(), String> {
    let mut file = object(path)?;
    for key in C::EXPECTED {
        file.shift_remove(*key);
    }
    let (key, expected) = C::accepted(answer, handed);
    file.insert(key.into(), expected);
    let text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())?;
    fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
}

fn of_file<C: OnStage>(name: String, mut file: Object, stage: &Stage) -> Result<Sample<C::Handed>, String> {
    let handed = file.shift_remove(C::HANDED).ok_or_else(|| format!("it has no {}", C::HANDED))?;
    let mut expected = Object::new();
    for key in C::EXPECTED {
        expected.extend(file.shift_remove(*key).map(|value| ((*key).to_owned(), value)));
    }
    let around: Around = serde_json::from_value(file.into()).map_err(|error| error.to_string())?;
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let settings = around.settings.into_iter().map(|(key, value)| (key, text(value))).collect();
    let (handed, accounts) = C::handed(handed, Some(around.accounts.tree()), stage)?;
    let expected = C::expected(expected, &handed, stage)?;
    let surroundings = Surroundings { accounts, within: None, settings: Arc::new(settings) };
    Ok(Sample { name, handed, surroundings, expected })
}

impl Accounts {
    fn tree(self) -> AccountTree {
        let ids = self.resellers.keys().chain(self.ancestors.keys());
        let account = |id: &String| Account {
            id: id.as_str().into(),
            name: String::new(),
            tree: self.ancestors.get(id).into_iter().flatten().map(|above| above.as_str().into()).collect(),
            reseller: self.resellers.get(id).map(|reseller| reseller.as_str().into()),
        };
        let accounts = ids.map(account).collect();
        AccountTree::new(accounts, self.numbers.into_iter().map(|(number, id)| (number, id.into())).collect())
    }
}

/// Makes the account known, alone, when it is not.
pub(super) fn make_known(accounts: &AccountTree, account: &str) {
    if !accounts.contains(&account.into()) {
        accounts.replace(Account { id: account.into(), name: String::new(), tree: Vec::new(), reseller: None });
    }
}

fn object(path: &Path) -> Result<Object, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(file)) => Ok(file),
        Ok(_) => Err(format!("{}: it is not a JSON object", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
