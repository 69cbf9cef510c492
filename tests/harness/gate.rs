//! `callgate wrap` as a client sees it: the real binary over real pipes, with a scripted server.

use super::process::{End, Process};
use super::streams::Streams;
use rustix::fs::Mode;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The result of a scripted server's `echo`.
pub(crate) const RESULT: &str = r#"{"content":[{"type":"text","text":"ok"}]}"#;

/// The answer of a scripted server's `echo` to the request with this id.
pub(crate) fn ok(id: impl Display) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{RESULT}}}"#)
}

/// A call of the tool `t` with this id.
pub(crate) fn call(id: impl Display) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#)
}

/// The answer to a request that was in flight when callgate was stopped (contract W9).
pub(crate) fn stopped(id: impl Display) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32000,"message":"callgate stopped"}}}}"#
    )
}

/// The time limit for a stop: the 2 s of contract W9, plus the delays of a busy machine.
const STOP: Duration = Duration::from_secs(3);

/// A directory for one test. Its files are writable by their owner only, whatever the developer's umask is: callgate
/// warns of policies that others can write.
pub(crate) fn temp_dir() -> TempDir {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    tempfile::tempdir().expect("a temporary directory")
}

/// A `callgate wrap` before it starts.
pub(crate) struct Wrap {
    dir: TempDir,
    policy_file: PathBuf,
    command: Command,
    launcher: Vec<OsString>,
    streams: Streams,
    stderr: Stdio,
}

impl Wrap {
    /// Uses this policy, with counters in memory.
    pub(crate) fn new(policy: impl Display) -> Self {
        let dir = temp_dir();
        let file = dir.path().join("policy.json");
        fs::write(&file, policy.to_string()).unwrap();
        Self::with_file(dir, &file)
    }

    /// Uses the policy in `file`, relative to `dir`, where callgate starts; counters are in memory.
    pub(crate) fn behind(dir: TempDir, file: impl AsRef<Path>) -> Self {
        let mut wrap = Self::with_file(dir, file.as_ref());
        wrap.command.current_dir(wrap.dir.path());
        wrap
    }

    fn with_file(dir: TempDir, file: &Path) -> Self {
        let mut command = callgate(dir.path());
        command.arg("wrap").arg("--policy").arg(file).env("CALLGATE_STATE", "memory");
        let policy_file = dir.path().join(file);
        let (streams, stderr) = (Streams::pipes(), Stdio::piped());
        Self { dir, policy_file, command, launcher: Vec::new(), streams, stderr }
    }

    /// Uses a policy that allows everything.
    pub(crate) fn allow_all() -> Self {
        Self::new(r#"{"version":"1","default":"allow"}"#)
    }

    /// Adds these arguments before the server's command.
    pub(crate) fn option<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command.args(words);
        self
    }

    /// Keeps the counters in this directory, and no audit log.
    pub(crate) fn counting_in(self, state: impl AsRef<Path>) -> Self {
        self.keeping_in(state).option(["--no-audit"])
    }

    /// Keeps counters and audit log in this directory.
    pub(crate) fn keeping_in(self, state: impl AsRef<Path>) -> Self {
        self.option(["--state"]).option([state.as_ref()])
    }

    /// Keeps all state in its home directory, even if a launcher clears its environment.
    pub(crate) fn keeping_in_own_dir(self) -> Self {
        let state = self.dir().join("state");
        self.keeping_in(state)
    }

    /// The home directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Sets this environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts callgate in the directory of its policy.
    pub(crate) fn in_own_dir(mut self) -> Self {
        self.command.current_dir(self.dir.path());
        self
    }

    /// Starts callgate by this launcher, which must end by executing the rest of its arguments.
    pub(crate) fn launched_by<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.launcher = words.map(OsString::from).into();
        self
    }

    /// Ignores no signal, even if the tests run under `nohup` or in the background of a script.
    pub(crate) fn heeding_signals(self) -> Self {
        self.launched_by(["env", "--default-signal"])
    }

    /// Drops root's privilege to bypass file permissions, for callgate and the server; other users have none.
    #[cfg(target_os = "linux")]
    pub(crate) fn without_privileges(self) -> Self {
        if rustix::process::geteuid().is_root() {
            self.launched_by(["setpriv", "--bounding-set=-all", "--inh-caps=-all"])
        } else {
            self
        }
    }

    /// Uses these streams instead of pipes.
    pub(crate) fn on(mut self, streams: Streams) -> Self {
        self.streams = streams;
        self
    }

    /// Uses this as stderr, instead of a pipe that is read.
    pub(crate) fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = stderr.into();
        self
    }

    /// Starts callgate with a server that plays `script`, a list of `scripted_server` steps.
    pub(crate) fn serve(self, script: &Value) -> Gate {
        let server = scripted_server(self.dir.path(), script);
        self.run(server)
    }

    /// Starts callgate with any other server.
    pub(crate) fn run<S: AsRef<OsStr>>(mut self, server: impl IntoIterator<Item = S>) -> Gate {
        self.command.arg("--").args(server);
        let mut command = launched(self.command, &self.launcher);
        let process = Process::spawn_on(&mut command, self.streams, self.stderr);
        Gate { process, dir: self.dir, policy_file: self.policy_file }
    }
}

/// The command as the last arguments of a launcher.
pub(crate) fn launched(command: Command, launcher: &[OsString]) -> Command {
    let Some((program, arguments)) = launcher.split_first() else { return command };
    let mut launched = Command::new(program);
    launched.args(arguments).arg(command.get_program()).args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        launched.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => launched.env(name, value),
            None => launched.env_remove(name),
        };
    }
    launched
}

/// A running session.
pub(crate) struct Gate {
    process: Process,
    dir: TempDir,
    policy_file: PathBuf,
}

impl Gate {
    /// Sends a line from the client.
    pub(crate) fn send(&self, line: impl Display) {
        self.send_raw(format!("{line}\n"));
    }

    /// Sends bytes from the client, which must include the LF.
    pub(crate) fn send_raw(&self, bytes: impl Into<Vec<u8>>) {
        self.process.write(bytes.into());
    }

    /// Sends bytes from the client until callgate stops reading; true if it took them all.
    pub(crate) fn flood(&self, bytes: impl Into<Vec<u8>>) -> bool {
        self.process.flood(bytes.into())
    }

    /// Sends bytes from the client; true if callgate took them all.
    pub(crate) fn takes(&self, bytes: impl Into<Vec<u8>>) -> bool {
        self.process.takes(bytes.into())
    }

    /// The next line that reaches the client, without its LF.
    pub(crate) fn recv(&self) -> String {
        self.try_recv().unwrap_or_else(|why| panic!("{why}"))
    }

    /// The next line that reaches the client, or why there is none.
    pub(crate) fn try_recv(&self) -> Result<String, String> {
        String::from_utf8(self.process.line()?).map_err(|error| error.to_string())
    }

    /// Sends a line and returns the next that reaches the client.
    pub(crate) fn ask(&self, line: impl Display) -> String {
        self.send(line);
        self.recv()
    }

    /// Checks that a call is served: the server has then logged everything forwarded before it.
    pub(crate) fn serves(&self, id: impl Display) {
        assert_eq!(self.ask(call(&id)), ok(&id));
    }

    /// Every byte that the server has received.
    pub(crate) fn received_bytes(&self) -> Vec<u8> {
        fs::read(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The lines that the server has received.
    pub(crate) fn received(&self) -> Vec<String> {
        let log = String::from_utf8(self.received_bytes()).expect("UTF-8 in the server's log");
        log.split_terminator('\n').map(str::to_owned).collect()
    }

    /// The next line on stderr.
    pub(crate) fn error_line(&self) -> String {
        self.process.error_line()
    }

    /// The next line on stderr, if one arrives within this time.
    pub(crate) fn error_line_within(&self, time: Duration) -> Option<String> {
        self.process.error_line_within(time)
    }

    /// The directory that callgate started in.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The policy file.
    pub(crate) fn policy_file(&self) -> &Path {
        &self.policy_file
    }

    /// The peak memory of callgate so far, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Waits until the thread of this name is there and waits itself, with nothing to do.
    #[cfg(target_os = "linux")]
    pub(crate) fn rests(&self, thread: &str) {
        let tasks = format!("/proc/{}/task", self.process.pid());
        let is_resting = || {
            let stats = fs::read_dir(&tasks)
                .unwrap()
                .filter_map(|task| fs::read_to_string(task.unwrap().path().join("stat")).ok());
            stats.into_iter().any(|stat| stat.contains(&format!("({thread}) S ")))
        };
        let begun = Instant::now();
        while !is_resting() {
            assert!(begun.elapsed() < Duration::from_secs(10), "`{thread}` does not rest");
            std::thread::yield_now();
        }
    }

    /// The current memory of callgate, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    #[cfg(target_os = "linux")]
    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// The CPU time of callgate's one thread so far, which other load on the machine does not affect.
    #[cfg(target_os = "linux")]
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/schedstat", self.process.pid())).unwrap();
        Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
    }

    /// The process id of callgate.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends a signal to callgate.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.pid()).ok().and_then(Pid::from_raw);
        rustix::process::kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Limits the length of files that callgate may write, or removes the limit.
    #[cfg(target_os = "linux")]
    pub(crate) fn limit_file_size(&self, bytes: Option<u64>) {
        let pid = i32::try_from(self.process.pid()).ok().and_then(Pid::from_raw);
        let limit = Rlimit { current: bytes, maximum: None };
        rustix::process::prlimit(pid, Resource::Fsize, limit).unwrap();
    }

    /// Closes stdin, and waits for the end of callgate and the server.
    pub(crate) fn end(&mut self) -> End {
        self.process.end()
    }

    /// Waits for the end of callgate and the server, with stdin open.
    pub(crate) fn wait(&mut self) -> End {
        self.process.wait()
    }

    /// Closes stdin.
    pub(crate) fn close_input(&mut self) {
        self.process.close_input();
    }

    /// Waits for the exit code of callgate alone; `None` when a signal ended it.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.process.exit_code()
    }

    /// As [`Gate::wait`], but no longer than a stop may take. All holders of stderr must be gone by then.
    pub(crate) fn wait_for_stop(&mut self) -> End {
        let begun = Instant::now();
        let end = self.wait();
        assert!(begun.elapsed() < STOP, "it took {:?}: {end:?}", begun.elapsed());
        end
    }

    /// Closes stdin, and checks that callgate exits with `code` and writes nothing more.
    pub(crate) fn ends_quietly(mut self, code: i32) {
        assert_eq!(self.end(), End::quiet(code));
    }
}

/// The binary, without the environment variables of the developer that it would use.
pub(crate) fn callgate(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
    for name in ["POLICY", "GRANT", "STATE"] {
        command.env_remove(format!("CALLGATE_{name}"));
    }
    command.env("HOME", home).env("XDG_STATE_HOME", home);
    command
}

/// A script for `sh`, in which `callgate` is the binary and `$0` its path. The environment is as in [`callgate`].
pub(crate) fn shell(home: &Path, script: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_callgate"));
    let folder = binary.parent().expect("target/<profile>").to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder).chain(std::env::split_paths(&others));
    let words = ["sh".as_ref(), "-c".as_ref(), script.as_ref()].map(OsStr::to_owned);
    let mut shell = launched(callgate(home), &words);
    shell.env("PATH", std::env::join_paths(folders).expect("folders without a colon"));
    shell
}

/// The command line of a server that plays `script` and logs to `log` in `dir`.
pub(crate) fn scripted_server(dir: &Path, script: &Value) -> [OsString; 3] {
    let file = dir.join("script.json");
    fs::write(&file, script.to_string()).unwrap();
    [scripted_server_binary().into(), file.into(), dir.join("log").into()]
}

/// `target/<profile>/examples/scripted_server`, relative to `target/<profile>/deps/<this test>`.
fn scripted_server_binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).expect("target/<profile>");
    let server = profile.join("examples").join("scripted_server");
    assert!(
        server.exists(),
        "{} is missing: run plain `cargo test`, which builds it",
        server.display()
    );
    server
}
