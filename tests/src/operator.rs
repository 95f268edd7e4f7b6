//! An operator at a command line: the real program's commands, at a host, with a key.

use serde_json::Value;

use crate::{
    real_program::{Place, Said, Serving, Started},
    test_host::TestHost,
};

/// Somebody with a key.
pub struct Operator<'a> {
    place: &'a Place,
    url: String,
    key: String,
}

impl<'a> Operator<'a> {
    /// One whose commands go to this host, with this key.
    pub fn at(place: &'a Place, host: &Serving, key: &str) -> Self {
        Self { place, url: host.url.clone(), key: key.to_owned() }
    }

    /// One whose commands go to a host in the test's own process.
    pub fn of(place: &'a Place, host: &TestHost, key: &str) -> Self {
        Self { place, url: format!("http://{}", host.running.api_address), key: key.to_owned() }
    }

    /// A command under way.
    pub fn starts(&self, arguments: &[&str]) -> Started {
        let environment = [("HOOKBOX_CLI_URL", self.url.as_str()), ("HOOKBOX_CLI_TOKEN", self.key.as_str())];
        self.place.start(arguments, &environment)
    }

    /// What a command comes to.
    pub async fn calls(&self, arguments: &[&str]) -> Said {
        let said = self.starts(arguments).ended().await;
        assert!(!format!("{said:?}").contains(&self.key), "the key is told: {said:?}");
        said
    }

    /// What a command prints that is done.
    pub async fn does(&self, arguments: &[&str]) -> String {
        let said = self.calls(arguments).await;
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{arguments:?}: {said:?}");
        said.stdout.trim_end().to_owned()
    }

    /// What a command with `--json` prints that is done.
    pub async fn reads(&self, arguments: &[&str]) -> Value {
        let text = self.does(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// What a command says that is not done and prints nothing: 1 when the host said no, 2 when it was not asked.
    pub async fn may_not(&self, code: i32, arguments: &[&str]) -> String {
        let said = self.calls(arguments).await;
        assert_eq!((said.code, said.stdout.as_str()), (code, ""), "{arguments:?}: {said:?}");
        said.stderr.trim_end().to_owned()
    }
}
