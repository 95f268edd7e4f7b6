//! The real `hookbox`, as an operator runs it: calls that end, and a host that serves until it is told to stop.
//!
//! Every call runs in a [`Place`], a folder of its own, and sees no `HOOKBOX_` variable but those that the test gives;
//! so what it says names relative paths, which are the same on every run. No program outlives the test.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    eventually::eventually_within,
    test_host::{MASTER, MASTER_KEY, shared_folder},
};

/// How long a call, a start or a stop may take. Generous: a passing test never waits it out. The longest calls build
/// modules, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(400);

/// A shell between, which kills the program when the pipe from here closes. The program's id is said first, by a shell
/// that then becomes the program, so that nothing of the program's own comes before it. Ends with the program's exit code.
const KEEPER: &str = r#"
    exec 3<&0
    /bin/sh -c 'echo "pid $$"; exec "$@"' keeper "$@" </dev/null &
    program=$!
    exec 2>/dev/null
    (while read -r _ <&3; do :; done; kill -KILL $program) >/dev/null &
    wait $program
"#;

/// The built `hookbox`, beside the test programs.
pub fn hookbox() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|error| panic!("this program's path is not known: {error}"));
    let program = own.ancestors().nth(2).unwrap_or(&own).join("hookbox-under-test");
    assert!(
        program.is_file(),
        "{} is not there; cargo builds it with these tests (see tests/Cargo.toml)",
        program.display()
    );
    program
}

/// A folder in which calls are made.
pub struct Place {
    folder: TempDir,
}

/// What a call that has ended said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A call under way.
pub struct Started(Kept);

/// `hookbox serve` at work.
pub struct Serving {
    keeper: Child,
    /// Its process id.
    pub pid: u32,
    /// Where REST listens, e.g. `http://127.0.0.1:40000`.
    pub url: String,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Place {
    /// An empty one.
    pub fn new() -> Place {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        Place { folder }
    }

    /// One with a `hookbox.toml` that a host can serve with (free port, a store beside it, the tests' module cache, the
    /// usual master account, loopback allowed), and these lines after it.
    pub fn with_settings(more: &str) -> Place {
        let place = Place::new();
        let shared = shared_folder();
        let text = format!(
            "api.listen = \"127.0.0.1:0\"\nstore.url = \"sqlite:hookbox.db\"\nstore.key_file = {:?}\n\
             modules.cache_dir = {:?}\nmaster.account_id = \"{MASTER}\"\nmaster.api_key = \"{MASTER_KEY}\"\n\
             firing.allow_addresses = [\"127.0.0.0/8\"]\n{more}\n",
            shared.join("host.key"),
            shared.join("module-cache"),
        );
        place.write("hookbox.toml", text);
        place
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders that it is in.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let parent = path.parent().unwrap_or(self.folder.path());
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, content));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Makes a call and waits for its end.
    pub async fn call(&self, arguments: &[&str]) -> Said {
        self.call_with(arguments, &[]).await
    }

    /// [`Place::call`] with these variables in the environment.
    pub async fn call_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        self.start(arguments, environment).ended().await
    }

    /// Begins a call, which is not waited for yet.
    pub fn start(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Started {
        Started(Kept::start(self.folder.path(), arguments, environment))
    }

    /// Starts `hookbox serve --config hookbox.toml`, and waits until it is ready.
    pub async fn serve(&self) -> Serving {
        self.serve_with(&[]).await
    }

    /// [`Place::serve`] with these variables in the environment.
    pub async fn serve_with(&self, environment: &[(&str, &str)]) -> Serving {
        let mut kept = Kept::start(self.folder.path(), &["serve", "--config", "hookbox.toml"], environment);
        let ready = eventually_within(PATIENCE, "hookbox to be ready", async || {
            if let Some(code) = kept.exit_code() {
                panic!("hookbox serve ended with {code}:\n{}{}", taken(&kept.stdout), taken(&kept.stderr));
            }
            let said = taken(&kept.stdout);
            let is_ready = said.lines().any(|line| line == "ready");
            said.lines().find_map(|line| line.strip_prefix("api ")).filter(|_| is_ready).map(str::to_owned).ok_or(said)
        });
        let url = ready.await;
        let pid = kept.pid;
        let (stdout, stderr) = (Arc::clone(&kept.stdout), Arc::clone(&kept.stderr));
        Serving { keeper: kept.given_away(), pid, url, stdout, stderr }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Started {
    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        taken(&self.0.stdout)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// Sends it a signal: `TERM`, `INT`, `KILL`.
    pub fn signal(&self, signal: &str) {
        send_signal(self.0.pid, signal);
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Said {
        let code = self.0.ended().await;
        Said { code, stdout: taken(&self.0.stdout), stderr: taken(&self.0.stderr) }
    }
}

impl Serving {
    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        taken(&self.stdout)
    }

    /// What it has logged so far.
    pub fn stderr(&self) -> String {
        taken(&self.stderr)
    }

    /// Sends it a signal: `TERM`, `INT`, `KILL`.
    pub fn signal(&self, signal: &str) {
        send_signal(self.pid, signal);
    }

    /// Waits until it has ended, and gives its exit code.
    pub async fn ended(&mut self) -> i32 {
        ended(&mut self.keeper).await
    }

    /// Stops it as a service manager would; the exit code.
    pub async fn stop(mut self) -> i32 {
        self.signal("TERM");
        self.ended().await
    }

    /// Bytes of memory that it holds now (`VmRSS`), and has held at most (`VmHWM`).
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        let status = status.unwrap_or_else(|error| panic!("hookbox ({}) is gone: {error}", self.pid));
        let figure = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes =
                line.and_then(|line| line.split_whitespace().next()).and_then(|text| text.parse::<u64>().ok());
            kibibytes.unwrap_or_else(|| panic!("no {name} in {status}")) * 1024
        };
        (figure("VmRSS:"), figure("VmHWM:"))
    }

    /// Puts messages as the master account; the status and the envelope.
    pub async fn post(&self, account: &str, messages: &Value) -> (u16, Value) {
        let url = format!("{}/v2/accounts/{account}/messages", self.url);
        let request = crate::test_host::http().put(url).header("x-auth-token", MASTER_KEY);
        let body = serde_json::json!({"data": messages}).to_string();
        let answer = request.header("content-type", "application/json").body(body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("hookbox does not answer: {error}"));
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_default();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

/// A program under its keeper.
struct Kept {
    keeper: Option<Child>,
    pid: u32,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Kept {
    fn start(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Kept {
        // By its full path: a test may give the program a PATH that leads nowhere.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER, "keeper"]).arg(hookbox()).args(arguments).current_dir(folder).process_group(0);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOOKBOX_")) {
            command.env_remove(name);
        }
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = command.spawn().unwrap_or_else(|error| panic!("hookbox cannot be started: {error}"));
        let mut output = BufReader::new(keeper.stdout.take().unwrap_or_else(|| panic!("no standard output")));
        let mut first = String::new();
        output.read_line(&mut first).unwrap_or_else(|error| panic!("the keeper says nothing: {error}"));
        let pid = first.trim().strip_prefix("pid ").and_then(|pid| pid.parse().ok());
        let errors = keeper.stderr.take().unwrap_or_else(|| panic!("no standard error"));
        Kept {
            keeper: Some(keeper),
            pid: pid.unwrap_or_else(|| panic!("the keeper said {first:?}")),
            stdout: gathered(output),
            stderr: gathered(BufReader::new(errors)),
        }
    }

    fn keeper(&mut self) -> &mut Child {
        self.keeper.as_mut().unwrap_or_else(|| panic!("the program was given away"))
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.keeper().try_wait().ok().flatten().map(|status| status.code().unwrap_or(-1))
    }

    async fn ended(&mut self) -> i32 {
        let code = ended(self.keeper()).await;
        // The readers end with the pipes; what was written last is there then.
        for said in [&self.stdout, &self.stderr] {
            eventually_within(PATIENCE, "the end of what it says", async || match Arc::strong_count(said) {
                1 => Ok(()),
                readers => Err(readers),
            })
            .await;
        }
        code
    }

    fn given_away(mut self) -> Child {
        self.keeper.take().unwrap_or_else(|| panic!("the program was given away"))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().ok();
        }
    }
}

fn send_signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()), "hookbox ({pid}) cannot be sent SIG{signal}");
}

async fn ended(keeper: &mut Child) -> i32 {
    eventually_within(PATIENCE, "hookbox to end", async || match keeper.try_wait() {
        Ok(Some(status)) => Ok(status.code().unwrap_or(-1)),
        other => Err(other),
    })
    .await
}

/// Reads until the pipe closes. The reader holds one end of what it has read.
fn gathered(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let ears = Arc::clone(&said);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..read]);
            ears.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        }
    });
    said
}

fn taken(said: &Mutex<String>) -> String {
    said.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
