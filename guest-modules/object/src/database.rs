//! Whose a database is, told from its name.

/// The account that a change in a database concerns: the account whose database it is (or whose database of one month);
/// in `accounts`, which holds a copy of every account's document, the account with the document's id.
pub(crate) fn account(database: &str, document: Option<&str>) -> Option<String> {
    if database == "accounts" {
        return document.filter(|id| is_account(id)).map(str::to_owned);
    }
    let name = without_month(database);
    let account = match name.strip_prefix("account") {
        Some(path) => parts(path)?.concat(),
        None => name.to_owned(),
    };
    (account.len() == 32 && is_account(&account)).then_some(account)
}

/// `…-202404`, as the databases of one month are named, without its end.
fn without_month(database: &str) -> &str {
    match database.rsplit_once('-') {
        Some((name, month)) if month.len() == 6 && month.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => database,
    }
}

/// The parts of `/aa/bb/…`, in which the separator may be written as CouchDB's paths have it (`%2F`).
fn parts(path: &str) -> Option<[&str; 3]> {
    let separator = ["/", "%2F", "%2f"].into_iter().find(|separator| path.starts_with(separator))?;
    let mut parts = path.split(separator).skip(1);
    let found = [parts.next()?, parts.next()?, parts.next()?];
    (found[0].len() == 2 && found[1].len() == 2 && parts.next().is_none()).then_some(found)
}

fn is_account(id: &str) -> bool {
    let id_byte = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=64).contains(&id.len()) && id.bytes().all(id_byte)
}

#[cfg(test)]
mod tests {
    use super::account;

    const ACCOUNT: &str = "aaaabbbbccccddddeeeeffff00001111";

    #[test]
    fn an_accounts_databases_are_spelled_in_three_ways_and_by_month() {
        for name in [
            "account%2Faa%2Faa%2Fbbbbccccddddeeeeffff00001111",
            "account%2faa%2faa%2fbbbbccccddddeeeeffff00001111",
            "account/aa/aa/bbbbccccddddeeeeffff00001111",
            ACCOUNT,
        ] {
            assert_eq!(account(name, Some("d1")).as_deref(), Some(ACCOUNT), "{name}");
            assert_eq!(account(&format!("{name}-202404"), None).as_deref(), Some(ACCOUNT), "{name}");
        }
    }

    #[test]
    fn in_accounts_the_document_is_the_account() {
        assert_eq!(account("accounts", Some(ACCOUNT)).as_deref(), Some(ACCOUNT));
        assert_eq!(account("accounts", Some("_design/accounts")), None);
        assert_eq!(account("accounts", Some("")), None);
        assert_eq!(account("accounts", None), None);
    }

    #[test]
    fn every_other_database_is_the_platforms() {
        for name in [
            "",
            "webhooks",
            "numbers%2F%2B1312",
            "system_config",
            "account",
            "account/",
            "account/aa/aa/bbbb",
            "account/a/aaa/bbbbccccddddeeeeffff00001111",
            "account/aa/aa/bbbb/ccccddddeeeeffff00001111",
            "account/aa%2Faa/bbbbccccddddeeeeffff00001111",
            "aaaabbbbccccddddeeeeffff00001111-2024",
            "aaaabbbbccccddddeeeeffff0000111",
            "AAAABBBBCCCCDDDDEEEEFFFF00001111",
            "é€aabbbbccccddddeeeeffff00001111",
        ] {
            assert_eq!(account(name, Some("d1")), None, "{name}");
        }
    }
}
