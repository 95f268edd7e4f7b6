//! A child process that is killed when its holder is dropped, and when this process ends, however that happens.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::sync::mpsc;

/// How long a program may take to say a line that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shell between, which kills the program when the pipe from here closes.
const KEEPER: &str = r#"
    exec 3<&0
    "$@" </dev/null &
    program=$!
    exec 2>/dev/null
    (while read -r _ <&3; do :; done; kill -KILL $program) >/dev/null &
    wait $program
"#;

/// A running program. Its standard error is this process's own.
pub struct Program {
    keeper: Child,
    lines: mpsc::UnboundedReceiver<String>,
    name: String,
}

impl Program {
    /// Starts it.
    pub fn start<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[A]) -> Program {
        let name = program.as_ref().to_string_lossy().into_owned();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|problem| panic!("cannot start {name}: {problem}"));
        let output = BufReader::new(keeper.stdout.take().expect("its output"));
        let (said, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        Program { keeper, lines, name }
    }

    /// Waits for a line of its standard output that starts so, and returns it.
    pub async fn line_starting_with(&mut self, start: &str) -> String {
        let said = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = self.lines.recv().await {
                if line.starts_with(start) {
                    return Some(line);
                }
            }
            None
        });
        match said.await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("{} ended without saying {start:?}", self.name),
            Err(_) => panic!("{} has not said {start:?} within {PATIENCE:?}", self.name),
        }
    }

    /// The processor time that it has used, in user and system together; to the hundredth of a second.
    pub fn cpu_time(&self) -> Duration {
        let keeper = self.keeper.id();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap_or_default();
        let ticks: u64 = children.split_whitespace().map(ticks_of).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Kills it, and returns when it is gone.
    pub fn kill(self) {}
}

/// User and system time of a process in the kernel's ticks, a hundredth of a second each.
fn ticks_of(process: &str) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name stands in brackets and may hold anything; what follows it is numbers.
    let numbers = stat.rsplit(')').next().unwrap_or_default();
    numbers.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}
