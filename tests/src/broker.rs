//! A private RabbitMQ: own node name, own free ports, own folder under the system's temporary one, loopback only, no
//! plug-ins. One broker serves a whole test binary ([`Broker::shared`]) and every test takes a [`Vhost`] of its own;
//! a test that kills its broker boots another ([`Broker::boot`]).
//!
//! No broker outlives the test process, however that ends: a shell (`broker/keeper.sh`) in a process group of its own
//! holds the broker and its port mapper as children and kills them when the pipe from here closes.
//!
//! The vhosts are made while the broker boots, from a definitions file; when they run out, `rabbitmqctl` makes more.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lapin::{Connection, ConnectionProperties};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// From start to the first accepted connection; 7 s on an idle machine.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);

/// Vhosts are made by so many at a time.
const VHOST_BATCH: usize = 32;

/// User and password at every broker.
const USER: &str = "hookbox";

/// A running RabbitMQ. Dropped, it is killed and its folder removed.
pub struct Broker {
    folder: TempDir,
    ports: Ports,
    with_tls: bool,
    /// None while the broker is down.
    process: Option<Process>,
    vhosts: Vhosts,
}

/// What an AMQP client needs to know: a vhost that nobody else uses.
#[derive(Clone, Debug)]
pub struct Vhost {
    /// Its name, which needs no escaping in a URL.
    pub name: String,
    /// Where the broker listens, always on 127.0.0.1.
    pub amqp_port: u16,
    control: Control,
}

/// A queue's figures as `rabbitmqctl` tells them. A quorum queue refreshes its own every five seconds: wait for them
/// with `eventually`. [`Amqp::ready`](crate::amqp::Amqp::ready) tells at once what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFigures {
    /// Waiting for a consumer.
    pub ready: u64,
    /// Delivered, not settled yet.
    pub unacked: u64,
    /// Consumers attached.
    pub consumers: u64,
}

impl Broker {
    /// The broker of this test binary, booted by the first who asks.
    pub async fn shared() -> &'static Broker {
        static SHARED: OnceCell<Broker> = OnceCell::const_new();
        SHARED.get_or_init(Broker::boot).await
    }

    /// A broker of one's own, for tests that kill it. Ready when it accepts AMQP connections.
    pub async fn boot() -> Broker {
        Broker::boot_as(false).await
    }

    /// [`Broker::boot`] with a TLS listener besides, which shows the receiver's certificate of `tests/certificates` and asks
    /// for one that `client-authority.pem` has signed.
    pub async fn boot_with_tls() -> Broker {
        Broker::boot_as(true).await
    }

    async fn boot_as(with_tls: bool) -> Broker {
        // Free ports are only free until somebody else takes them, so a broker that ends while booting gets others.
        for _ in 0..3 {
            let folder = tempfile::Builder::new().prefix("hookbox-broker-").tempdir().expect("a temporary folder");
            let mut broker =
                Broker { folder, ports: Ports::free(), with_tls, process: None, vhosts: Vhosts::default() };
            broker.write_settings();
            broker.vhosts.made.store(VHOST_BATCH, Ordering::Relaxed);
            match broker.start().await {
                Ok(()) => return broker,
                Err(problem) => eprintln!("{problem}; trying again on other ports"),
            }
        }
        panic!("no private RabbitMQ could be started; what it said is above");
    }

    /// A vhost that no other caller was given, empty.
    pub async fn vhost(&self) -> Vhost {
        let number = self.vhosts.given.fetch_add(1, Ordering::Relaxed);
        while self.vhosts.made.load(Ordering::Acquire) <= number {
            self.make_vhosts().await;
        }
        Vhost { name: vhost_name(number), amqp_port: self.ports.amqp, control: self.control() }
    }

    /// Where it listens.
    pub fn amqp_port(&self) -> u16 {
        self.ports.amqp
    }

    /// What clients connect to by TLS, for a broker that was booted so.
    pub fn tls_url(&self, vhost: &Vhost, host: &str) -> String {
        format!("amqps://{USER}:{USER}@{host}:{}/{}", self.ports.tls, vhost.name)
    }

    /// Has `rabbitmqctl` do something with this broker; what it printed.
    pub async fn rabbitmqctl(&self, arguments: &[&str]) -> String {
        self.control().run(arguments).await
    }

    /// Ends it as a crash would (SIGKILL), and returns when it is gone. Its folder stays for [`Broker::restart`].
    ///
    /// RabbitMQ writes the register of its quorum queues some seconds after a queue is declared, and a queue that is not
    /// in it comes back without a leader. Tests are quicker than that, so the register is written first.
    pub async fn kill(&mut self) {
        if self.process.is_some() {
            self.control().run(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]).await;
        }
        self.end("KILL").await;
    }

    /// Ends it as an administrator would (SIGTERM): connections are closed with a reason.
    pub async fn stop(&mut self) {
        self.end("TERM").await;
    }

    /// Starts it again with the same ports and data. Ready when it accepts AMQP connections.
    pub async fn restart(&mut self) {
        self.end("TERM").await;
        self.start().await.unwrap_or_else(|problem| panic!("{problem}"));
    }

    async fn end(&mut self, signal: &str) {
        if let Some(process) = self.process.take() {
            let signal = signal.to_owned();
            blocking(move || process.end(&signal)).await;
        }
    }

    async fn start(&mut self) -> Result<(), String> {
        let started = Instant::now();
        let process = Process::start(self.folder.path(), &self.ports);
        let uri = amqp_uri(self.ports.amqp, &vhost_name(0));
        loop {
            let refusal = match Connection::connect(&uri, ConnectionProperties::default()).await {
                Ok(connection) => {
                    connection.close(200, "ready".into()).await.ok();
                    self.process = Some(process);
                    return Ok(());
                }
                Err(refusal) => refusal,
            };
            let ended = process.has_ended();
            if ended || started.elapsed() > BOOT_DEADLINE {
                let said = fs::read_to_string(self.folder.path().join("start.log")).unwrap_or_default();
                let how = if ended { "ended while booting" } else { "accepts no connections" };
                return Err(format!("{said}\nRabbitMQ {how} after {:?}: {refusal}", started.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn make_vhosts(&self) {
        let _one_at_a_time = self.vhosts.making.lock().await;
        let made = self.vhosts.made.load(Ordering::Acquire);
        if made > self.vhosts.given.load(Ordering::Relaxed) {
            return;
        }
        let names: Vec<_> =
            (made..made + VHOST_BATCH).map(|number| format!("<<\"{}\">>", vhost_name(number))).collect();
        let erlang = format!(
            "[begin rabbit_vhost:add(V, <<\"hookbox\">>), \
             rabbit_auth_backend_internal:set_permissions(<<\"{USER}\">>, V, <<\".*\">>, <<\".*\">>, <<\".*\">>, \
             <<\"hookbox\">>) end || V <- [{}]], ok.",
            names.join(",")
        );
        self.control().run(&["eval", &erlang]).await;
        self.vhosts.made.store(made + VHOST_BATCH, Ordering::Release);
    }

    fn control(&self) -> Control {
        Control { environment: Arc::new(environment(self.folder.path(), &self.ports)) }
    }

    fn write_settings(&self) {
        let folder = self.folder.path();
        let vhosts: Vec<_> = (0..VHOST_BATCH).map(vhost_name).collect();
        let permissions: Vec<_> = vhosts
            .iter()
            .map(|vhost| json!({"user": USER, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}))
            .collect();
        let vhosts: Vec<_> = vhosts.iter().map(|name| json!({"name": name})).collect();
        let users = json!([{"name": USER, "password": USER, "tags": ["administrator"]}]);
        let definitions = json!({"users": users, "vhosts": vhosts, "permissions": permissions});
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\n\
             load_definitions = {}\n\
             log.console = false\n\
             log.file.level = info\n\
             disk_free_limit.absolute = 50MB\n",
            self.ports.amqp,
            folder.join("definitions.json").display()
        );
        let settings = if self.with_tls { settings + &self.tls_settings() } else { settings };
        write(folder.join("definitions.json"), &definitions.to_string());
        write(folder.join("rabbitmq.conf"), &settings);
        write(folder.join("enabled_plugins"), "[].\n");
        // Named so that the machine's own /etc/rabbitmq is not read.
        write(folder.join("rabbitmq-env.conf"), "");
        for name in ["home", "data", "log"] {
            fs::create_dir(folder.join(name)).expect("a folder in the broker's own");
        }
    }
}

impl Broker {
    fn tls_settings(&self) -> String {
        let file = |name: &str| certificate_file(name).display().to_string();
        format!(
            "listeners.ssl.1 = 127.0.0.1:{}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n\
             ssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = true\n",
            self.ports.tls,
            file("client-authority.pem"),
            file("receiver.pem"),
            file("receiver.key"),
        )
    }
}

/// A file of `tests/certificates`.
pub fn certificate_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certificates").join(name)
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RabbitMQ on port {} in {}", self.ports.amqp, self.folder.path().display())
    }
}

impl Vhost {
    /// What clients connect to.
    pub fn url(&self) -> String {
        self.url_through(self.amqp_port)
    }

    /// The same through another port of this machine, as of a [`ChaosProxy`](crate::chaos_proxy::ChaosProxy).
    pub fn url_through(&self, port: u16) -> String {
        amqp_uri(port, &self.name)
    }

    /// The figures of a queue, or None when there is none of that name.
    pub async fn queue(&self, name: &str) -> Option<QueueFigures> {
        let columns = ["messages_ready", "messages_unacknowledged", "consumers", "name"];
        let list = ["list_queues", "-p", &self.name, "-q", "--no-table-headers"];
        let listing = self.control.run(&[&list[..], &columns[..]].concat()).await;
        listing.lines().find_map(|line| {
            let fields: Vec<_> = line.split('\t').collect();
            let [ready, unacked, consumers, found] = fields[..] else { return None };
            let figure = |field: &str| field.parse().unwrap_or(0);
            (found == name).then(|| QueueFigures {
                ready: figure(ready),
                unacked: figure(unacked),
                consumers: figure(consumers),
            })
        })
    }

    /// Closes every connection of this vhost from the broker's side, as an administrator would.
    pub async fn close_connections(&self) {
        self.control.run(&["close_all_connections", "-q", "-p", &self.name, "closed by the test"]).await;
    }
}

#[derive(Default)]
struct Vhosts {
    made: AtomicUsize,
    given: AtomicUsize,
    making: tokio::sync::Mutex<()>,
}

struct Ports {
    amqp: u16,
    tls: u16,
    distribution: u16,
    epmd: u16,
    control: u16,
}

impl Ports {
    fn free() -> Ports {
        // Held together until all are known, so that they differ.
        let held: Vec<_> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let port = |index: usize| held[index].local_addr().expect("a bound port").port();
        Ports { amqp: port(0), distribution: port(1), epmd: port(2), control: port(3), tls: port(4) }
    }
}

/// The keeper shell with the broker as its child.
struct Process {
    keeper: Child,
    orders: Option<ChildStdin>,
    ended: Arc<AtomicBool>,
}

impl Process {
    fn start(folder: &Path, ports: &Ports) -> Process {
        let mut keeper = Command::new("sh")
            .args(["-c", include_str!("broker/keeper.sh"), "keeper"])
            .arg(program("rabbitmq-server"))
            .arg(folder)
            .envs(environment(folder, ports))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // So that an interrupt from the terminal reaches only the test process, and the keeper does its work.
            .process_group(0)
            .spawn()
            .expect("sh to start the broker with");
        let orders = keeper.stdin.take();
        let mut said = BufReader::new(keeper.stdout.take().expect("the keeper's output")).lines();
        let ended = Arc::new(AtomicBool::new(false));
        let has_ended = Arc::clone(&ended);
        std::thread::spawn(move || {
            said.next();
            has_ended.store(true, Ordering::Release);
        });
        Process { keeper, orders, ended }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Sends a signal and returns when the broker is gone; leaves its folder.
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

/// `rabbitmqctl` of one broker.
#[derive(Clone)]
struct Control {
    environment: Arc<Vec<(&'static str, String)>>,
}

impl Control {
    async fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(program("rabbitmqctl"));
        command.args(arguments).envs(self.environment.iter().cloned()).stdin(Stdio::null());
        let output = blocking(move || command.output()).await.expect("rabbitmqctl to run");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "rabbitmqctl {arguments:?} failed: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control")
    }
}

/// Of the broker and of `rabbitmqctl` alike: which node, where its folders are, and nothing of the machine's own.
fn environment(folder: &Path, ports: &Ports) -> Vec<(&'static str, String)> {
    let within = |name: &str| folder.join(name).display().to_string();
    vec![
        ("RABBITMQ_NODENAME", format!("hookbox-{}@localhost", ports.amqp)),
        ("RABBITMQ_DIST_PORT", ports.distribution.to_string()),
        ("RABBITMQ_CTL_DIST_PORT_MIN", ports.control.to_string()),
        ("RABBITMQ_CTL_DIST_PORT_MAX", (ports.control.saturating_add(10)).to_string()),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}".to_owned()),
        ("RABBITMQ_MNESIA_BASE", within("data")),
        ("RABBITMQ_LOG_BASE", within("log")),
        ("RABBITMQ_CONFIG_FILE", within("rabbitmq.conf")),
        ("RABBITMQ_CONF_ENV_FILE", within("rabbitmq-env.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", within("enabled_plugins")),
        // Makes the launcher become the broker instead of staying as its parent, so that a signal meets the broker.
        ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ("ERL_EPMD_PORT", ports.epmd.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        // Where Erlang keeps the cookie.
        ("HOME", within("home")),
    ]
}

/// Debian keeps the programs themselves apart from wrappers on the PATH that insist on the service's user.
fn program(name: &str) -> PathBuf {
    let debian = Path::new("/usr/lib/rabbitmq/bin").join(name);
    if debian.exists() {
        return debian;
    }
    let on_path = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.exists()));
    on_path
        .unwrap_or_else(|| panic!("{name} is not installed; run .ci/test-servers, or install RabbitMQ 3.10 or later"))
}

fn vhost_name(number: usize) -> String {
    format!("test-{number}")
}

fn amqp_uri(port: u16, vhost: &str) -> String {
    format!("amqp://{USER}:{USER}@127.0.0.1:{port}/{vhost}")
}

fn write(path: PathBuf, text: &str) {
    fs::write(&path, text).unwrap_or_else(|problem| panic!("cannot write {}: {problem}", path.display()));
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work not to panic")
}

#[cfg(test)]
mod tests;
