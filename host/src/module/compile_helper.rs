//! The compile helper: this very program, started anew to compile one component and nothing else.
//!
//! A small component can cost the compiler minutes and gigabytes, and a compiler that gets no memory ends its process. So
//! what tenants upload is compiled in a process of its own: with an empty environment, three pipes, limits on memory and
//! time, and hardly a system call left ([`jail`]). It reads the component from its standard input and writes the code to
//! its standard output. However it ends, the host goes on.
//!
//! Holding samples against a schema has the same trouble, and is done there too. This file is the host's side; [`program`]
//! is the other one.

pub mod jail;
pub mod program;
mod verdict;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use clap::ValueEnum;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::Semaphore,
};

use self::{program::Task, verdict::Ended};
use super::{ModuleError, check::samples::Samples};
use crate::settings::ModuleSettings;

/// The hidden call of the program that is the helper.
pub const CALL: &str = "compile-helper";

/// What holding samples against a schema may take, s of CPU. What takes more is told so, and passes.
const HOLD_CPU_S: u64 = 2;

/// What is kept of what a helper says on its standard error.
const SAID_BYTES_MAX: u64 = 16 * 1024;

/// Has the memory allocator take memory as it is needed: it would set a gigabyte aside, which counts against the limit.
/// The helper's whole environment.
const ENVIRONMENT: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "0");

/// What one helper may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Its memory, bytes.
    pub memory_bytes_max: u64,
    /// Its CPU time, s.
    pub cpu_s: u64,
    /// Its time by the clock, s.
    pub wall_s: u64,
    /// The code that it may make, bytes.
    pub compiled_bytes_max: u64,
}

/// Starts helpers.
pub struct CompileHelper {
    program: PathBuf,
    limits: CompileLimits,
    places: Semaphore,
}

impl CompileHelper {
    /// Helpers of this program; `None` for the one that runs.
    pub fn new(program: Option<&Path>, settings: &ModuleSettings) -> Self {
        if !jail::FILTERS_SYSTEM_CALLS {
            tracing::warn!(
                "system calls of the compile helper are not filtered on this machine; its other limits hold"
            );
        }
        Self {
            program: program.unwrap_or(Path::new("/proc/self/exe")).to_owned(),
            limits: CompileLimits {
                memory_bytes_max: settings.compile_memory_bytes_max,
                cpu_s: settings.compile_cpu_s,
                wall_s: settings.compile_wall_s,
                compiled_bytes_max: settings.compiled_bytes_max,
            },
            places: Semaphore::new(usize::try_from(settings.compiles_max).unwrap_or(1)),
        }
    }

    /// Compiles a component, when it is its turn. The helper is killed at its limits, and when this is dropped.
    pub async fn compile(&self, component: Arc<[u8]>) -> Result<Vec<u8>, ModuleError> {
        self.run(Task::Compile, &component, &self.limits).await?.verdict(&self.limits)
    }

    /// Holds a module's samples against its schema; what there is to warn of.
    pub async fn hold(&self, samples: &Samples) -> Result<Vec<String>, ModuleError> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        let host = |reason: String| ModuleError::Host { reason };
        let given = serde_json::to_vec(samples).map_err(|error| host(error.to_string()))?;
        let limits = CompileLimits { cpu_s: HOLD_CPU_S.min(self.limits.cpu_s), ..self.limits };
        match self.run(Task::HoldSamples, &given, &limits).await?.verdict(&limits) {
            Ok(warnings) => serde_json::from_slice(&warnings).map_err(|error| host(error.to_string())),
            Err(ModuleError::TooCostly { limit, unit, .. }) => {
                Ok(vec![format!("payload-schema takes more than {limit} {unit}; the samples were not held against it")])
            }
            Err(error @ ModuleError::Host { .. }) => Err(error),
            Err(error) => Ok(vec![format!("payload-schema cannot be used: {error}")]),
        }
    }

    async fn run(&self, task: Task, given: &[u8], limits: &CompileLimits) -> Result<Ended, ModuleError> {
        let host = |reason: String| ModuleError::Host { reason: format!("the compile helper {reason}") };
        let _place = self.places.acquire().await.map_err(|_| host("is not started any more".into()))?;
        let mut child = self.start(task, limits).map_err(|error| host(format!("cannot be started: {error}")))?;
        let wall = Duration::from_secs(limits.wall_s);
        let ended = match tokio::time::timeout(wall, self.follow(&mut child, given)).await {
            Ok(followed) => followed.map_err(|error| host(format!("cannot be followed: {error}")))?,
            Err(_) => Ended::OutOfTime,
        };
        // One that has ended by itself is not there to be killed.
        let _ = child.kill().await;
        Ok(ended)
    }

    fn start(&self, task: Task, limits: &CompileLimits) -> std::io::Result<Child> {
        let task = task.to_possible_value();
        Command::new(&self.program)
            .arg(CALL)
            .arg(task.as_ref().map_or("", |task| task.get_name()))
            .args(["--memory-bytes-max", &limits.memory_bytes_max.to_string()])
            .args(["--cpu-s", &limits.cpu_s.to_string()])
            .env_clear()
            .env(ENVIRONMENT.0, ENVIRONMENT.1)
            .current_dir("/")
            // What a terminal sends to the host is not for its helper.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    /// Gives it what it works on and takes what it makes, until it has ended.
    async fn follow(&self, child: &mut Child, given: &[u8]) -> std::io::Result<Ended> {
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(std::io::Error::other("it has no pipes"));
        };
        let give = async move {
            // One that ended before it had read all of it says why by how it ended.
            let _ = stdin.write_all(given).await;
            let _ = stdin.shutdown().await;
        };
        let (mut code, mut said) = (Vec::new(), Vec::new());
        let mut stdout = stdout.take(self.limits.compiled_bytes_max + 1);
        let mut stderr = stderr.take(SAID_BYTES_MAX);
        let ((), made, heard) = tokio::join!(give, stdout.read_to_end(&mut code), stderr.read_to_end(&mut said));
        if made? as u64 > self.limits.compiled_bytes_max {
            return Ok(Ended::TooMuchCode);
        }
        heard?;
        drop((stdout, stderr));
        let status = child.wait().await?;
        Ok(Ended::ByItself { status, code, said: String::from_utf8_lossy(&said).into_owned() })
    }
}
