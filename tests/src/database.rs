//! A private PostgreSQL: own free port on loopback, own folder under the system's temporary one, a password, and what
//! is answered is on the disk. One cluster serves a whole test binary ([`Cluster::shared`]) and every test takes a
//! [`Database`] of its own; a test that kills its server boots another ([`Cluster::boot`]).
//!
//! PostgreSQL does not run as root: when the tests do, it runs as the system's `postgres` or `nobody`.
//!
//! No server outlives the test process, however that ends: a shell (`database/keeper.sh`) in a process group of its own
//! holds it as its child and kills it when the pipe from here closes.
//!
//! The unit tests of the host boot one of these too: this file is theirs as well.

use std::{
    fmt,
    fs::{self, Permissions},
    io::Write,
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// From start to the first accepted connection; half a second on an idle machine.
const BOOT_DEADLINE: Duration = Duration::from_secs(60);
/// User and password at every server.
const USER: &str = "hookbox";
/// Connections of all stores that tests have open at once.
const CONNECTIONS_MAX: u32 = 400;

/// A running PostgreSQL. Dropped, it is killed and its folder removed.
pub struct Cluster {
    folder: TempDir,
    account: Option<Account>,
    port: u16,
    /// None while the server is down.
    process: Option<Process>,
    databases: AtomicUsize,
}

/// A database that nobody else uses, empty.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name, which needs no escaping.
    pub name: String,
    /// Where the server listens, always on 127.0.0.1.
    pub port: u16,
}

impl Cluster {
    /// The server of this test binary, booted by the first who asks.
    pub async fn shared() -> &'static Cluster {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_init(Cluster::boot).await
    }

    /// A server of one's own, for tests that kill it. Ready when it accepts connections.
    pub async fn boot() -> Cluster {
        let account = Account::to_run_as();
        // A free port is only free until somebody else takes it, so a server that ends while booting gets another.
        for _ in 0..3 {
            let folder = tempfile::Builder::new().prefix("hookbox-database-").tempdir().expect("a temporary folder");
            if let Some(account) = account {
                chown(folder.path(), Some(account.user), Some(account.group)).expect("root may give a folder away");
            }
            let port = free_port();
            let mut cluster = Cluster { folder, account, port, process: None, databases: AtomicUsize::new(0) };
            cluster.initialise();
            match cluster.start().await {
                Ok(()) => return cluster,
                Err(problem) => eprintln!("{problem}; trying again on another port"),
            }
        }
        panic!("no private PostgreSQL could be started; what it said is above");
    }

    /// A database that no other caller was given, empty.
    pub async fn database(&self) -> Database {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let made = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        let mut connection = self.connect().await.unwrap_or_else(|error| panic!("{self:?}: {error}"));
        sqlx::query(made).execute(&mut connection).await.unwrap_or_else(|error| panic!("{self:?}: {error}"));
        connection.close().await.ok();
        Database { name, port: self.port }
    }

    /// Ends it as a crash would (SIGKILL), and returns when it is gone. Its folder stays for [`Cluster::restart`].
    pub async fn kill(&mut self) {
        self.end("KILL").await;
    }

    /// Ends it as an administrator would (`fast`: connections are closed with a reason).
    pub async fn stop(&mut self) {
        self.end("INT").await;
    }

    /// Starts it again with the same port and data. Ready when it accepts connections.
    pub async fn restart(&mut self) {
        self.end("INT").await;
        self.start().await.unwrap_or_else(|problem| panic!("{problem}"));
    }

    async fn end(&mut self, signal: &'static str) {
        if let Some(process) = self.process.take() {
            tokio::task::spawn_blocking(move || process.end(signal)).await.expect("it ends");
        }
    }

    async fn start(&mut self) -> Result<(), String> {
        let started = Instant::now();
        let mut process = Process::start(self);
        loop {
            // The first of its processes was killed, and the others have not noticed yet.
            if process.has_ended() && self.said().contains("still in use") && started.elapsed() < BOOT_DEADLINE {
                process.end("INT");
                process = Process::start(self);
            }
            let refusal = match self.connect().await {
                Ok(connection) => {
                    connection.close().await.ok();
                    self.process = Some(process);
                    return Ok(());
                }
                Err(refusal) => refusal,
            };
            let ended = process.has_ended();
            if ended || started.elapsed() > BOOT_DEADLINE {
                let how = if ended { "ended while booting" } else { "accepts no connections" };
                return Err(format!("{}\nPostgreSQL {how} after {:?}: {refusal}", self.said(), started.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// What the server has said since its last start.
    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&url(self.port, "postgres")).await
    }

    /// Makes the cluster's files.
    fn initialise(&self) {
        let password = self.folder.path().join("password");
        fs::write(&password, USER).expect("a file in the server's own folder");
        fs::set_permissions(&password, Permissions::from_mode(0o644)).expect("the file is ours");
        let mut command = self.command("initdb");
        command.args(["--username", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--pgdata"]);
        command.arg(self.data()).arg("--pwfile").arg(&password);
        let made = command.output().unwrap_or_else(|error| panic!("initdb: {error}"));
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let settings = format!(
            "listen_addresses = '127.0.0.1'\n\
             port = {}\n\
             unix_socket_directories = ''\n\
             max_connections = {CONNECTIONS_MAX}\n\
             fsync = on\n\
             synchronous_commit = on\n\
             log_min_messages = warning\n",
            self.port
        );
        let file = self.data().join("postgresql.auto.conf");
        fs::write(&file, settings).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of PostgreSQL, as whoever may run it.
    fn command(&self, name: &str) -> Command {
        as_account(Command::new(program(name)), self.account, self.folder.path())
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL on port {} in {}", self.port, self.folder.path().display())
    }
}

impl Database {
    /// One of the shared server's.
    pub async fn new() -> Database {
        Cluster::shared().await.database().await
    }

    /// What `store.url` takes.
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// The same through another port of this machine, as of a proxy.
    pub fn url_through(&self, port: u16) -> String {
        url(port, &self.name)
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://{USER}:{USER}@127.0.0.1:{port}/{database}")
}

fn free_port() -> u16 {
    let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
    held.local_addr().expect("a bound port").port()
}

/// Of the system, by its numbers.
#[derive(Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// Whom the server runs as when this process is root.
    fn to_run_as() -> Option<Account> {
        let own = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own));
        if own.is_ok_and(|uid| uid != 0) {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let of = |name: &str| {
            let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|line| line[0] == name)?;
            Some(Account { user: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
        };
        let found = of("postgres").or_else(|| of("nobody"));
        Some(found.expect("PostgreSQL does not run as root, and there is neither a user postgres nor nobody"))
    }
}

fn as_account(mut command: Command, account: Option<Account>, folder: &Path) -> Command {
    // The folder that the tests were started in may be closed to whom the server runs as.
    command.current_dir(folder).env("LC_ALL", "C");
    if let Some(account) = account {
        command.uid(account.user).gid(account.group);
    }
    command
}

/// The keeper shell with the server as its child.
struct Process {
    keeper: Child,
    orders: Option<ChildStdin>,
    /// There when the server has ended.
    marker: PathBuf,
}

impl Process {
    fn start(cluster: &Cluster) -> Process {
        let folder = cluster.folder.path();
        let marker = folder.join("ended");
        fs::remove_file(&marker).ok();
        let mut keeper = as_account(Command::new("sh"), cluster.account, folder)
            .args(["-c", include_str!("database/keeper.sh"), "keeper"])
            .arg(program("postgres"))
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // So that an interrupt from the terminal reaches only the test process, and the keeper does its work.
            .process_group(0)
            .spawn()
            .expect("sh to start the server with");
        let orders = keeper.stdin.take();
        Process { keeper, orders, marker }
    }

    fn has_ended(&self) -> bool {
        self.marker.exists()
    }

    /// Sends a signal and returns when the server is gone; leaves its folder.
    fn end(mut self, signal: &str) {
        if let Some(orders) = &mut self.orders {
            writeln!(orders, "{signal}").ok();
        }
        self.keeper.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.orders.take());
        self.keeper.wait().ok();
    }
}

/// Debian keeps the programs of each version in a folder of its own, of which the newest is taken.
fn program(name: &str) -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin").join(name)))
        })
        .filter(|(_, file)| file.exists())
        .collect();
    versions.sort();
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.exists())
    };
    versions
        .pop()
        .map(|(_, file)| file)
        .or_else(on_path)
        .unwrap_or_else(|| panic!("{name} is not installed; run .ci/test-servers, or install PostgreSQL 13 or later"))
}
