//! A host of a run: the real program, with a folder of its own and the run's store.

use std::process::Command;

use serde_json::Value;

use crate::real_program::{Place, Said, Serving};

/// One host, at work or not.
pub struct Node {
    place: Place,
    serving: Option<Serving>,
    stands_still: bool,
}

impl Node {
    /// With these settings; it does not run yet.
    pub fn new(settings: &str) -> Node {
        let place = Place::new();
        place.write("hookbox.toml", settings);
        Node { place, serving: None, stands_still: false }
    }

    /// Loads documents into its store.
    pub async fn import(&self, documents: &Value) {
        self.place.write("documents.json", documents.to_string());
        let said = self.place.call(&["import", "kazoo", "documents.json", "--config", "hookbox.toml"]).await;
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// Starts it, and waits until it takes messages.
    pub async fn start(&mut self) {
        self.serving = Some(self.place.serve().await);
    }

    /// Ends it as a crash would (SIGKILL), and returns when it is gone.
    pub async fn kill(&mut self) {
        if let Some(mut serving) = self.serving.take() {
            serving.signal("KILL");
            serving.ended().await;
        }
        self.stands_still = false;
    }

    /// Has it stand still (SIGSTOP): it does nothing, and all that it holds stays open.
    pub fn stand_still(&mut self) {
        self.serving().signal("STOP");
        self.stands_still = true;
    }

    /// Has it go on after that.
    pub fn go_on(&mut self) {
        self.serving().signal("CONT");
        self.stands_still = false;
    }

    /// Has it run, whatever happened to it before.
    pub async fn wake_or_start(&mut self) {
        if self.stands_still {
            self.go_on();
        }
        if self.serving.is_none() {
            self.start().await;
        }
    }

    /// Lets its files grow to so many bytes and no further; `None` for as far as they like. A limit below what they have
    /// already refuses every write, as a full disk does.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let pid = self.serving().pid.to_string();
        // The soft limit alone, so that it can be taken off again without being root.
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:")]).status();
        assert!(set.is_ok_and(|status| status.success()), "the limit on files of hookbox ({pid}) cannot be set");
    }

    /// What it has logged since it was started.
    pub fn log(&self) -> String {
        self.serving.as_ref().map(Serving::stderr).unwrap_or_default()
    }

    /// Where its REST listens.
    pub fn url(&self) -> &str {
        &self.serving().url
    }

    /// Stops it as a service manager would; the exit code.
    pub async fn stop(&mut self) -> i32 {
        match self.serving.take() {
            Some(serving) => serving.stop().await,
            None => 0,
        }
    }

    /// `hookbox doctor --audit` over its store.
    pub async fn audit(&self) -> Said {
        self.place.call(&["doctor", "--audit", "--config", "hookbox.toml"]).await
    }

    fn serving(&self) -> &Serving {
        self.serving.as_ref().unwrap_or_else(|| panic!("this host does not run"))
    }
}
