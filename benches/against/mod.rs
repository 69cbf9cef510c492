//! `--against COMMIT`: figures of another commit, taken in turns with those of this one. That commit is unpacked and
//! built under `target/against`, once for each commit; artefacts that it shares with the previous one are reused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// The largest median of the rounds' ratios that counts as no worse.
const NO_WORSE: f64 = 1.03;

/// Another commit, unpacked.
pub struct Commit {
    /// Its full hash.
    hash: String,
    /// Where it is unpacked.
    dir: PathBuf,
}

impl Commit {
    /// Finds the commit that `name` (a hash, a branch, `HEAD~1`) stands for.
    pub fn find(name: &str) -> Result<Self> {
        let spec = format!("{name}^{{commit}}");
        let mut git = git();
        git.args(["rev-parse", "--verify", "--quiet", "--end-of-options", &spec]);
        let found = git.stderr(Stdio::null()).output().context("failed to run git")?;
        ensure!(found.status.success(), "no commit `{name}` is known here");
        let hash = String::from_utf8(found.stdout)?.trim().to_owned();
        Ok(Commit { hash, dir: root().join("target/against") })
    }

    /// The short name.
    pub fn short(&self) -> &str {
        self.hash.get(..10).unwrap_or(&self.hash)
    }

    /// Its program of this name, built as by `cargo bench` with the cargo arguments `words`.
    pub fn built(&self, program: &str, words: &[&str]) -> Result<PathBuf> {
        let kept = self.dir.join(&self.hash).join(program);
        if kept.exists() {
            return Ok(kept);
        }
        let tree = self.unpack()?;
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(words).args(["--message-format", "json-render-diagnostics"]).current_dir(&tree);
        cargo.env("CARGO_TARGET_DIR", self.dir.join("build")).stderr(Stdio::inherit());
        // Cargo sets this variable from our `.cargo/config.toml`; the other commit must use its own.
        cargo.env_remove("LIBSQLITE3_FLAGS");
        let built = cargo.output().context("failed to run cargo")?;
        ensure!(built.status.success(), "commit {} cannot be built", self.short());
        let made = executable(&built.stdout, program);
        let made = made.with_context(|| format!("commit {} has no `{program}`", self.short()))?;
        fs::create_dir_all(self.dir.join(&self.hash))?;
        // The final name appears only after the directory is complete.
        let half = kept.with_extension("new");
        fs::copy(made, &half)?;
        fs::rename(half, &kept)?;
        Ok(kept)
    }

    /// Replaces the files of the previous commit with its own.
    fn unpack(&self) -> Result<PathBuf> {
        let tree = self.dir.join("tree");
        if tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        fs::create_dir_all(&tree)?;
        let archive = git().args(["archive", &self.hash]).stdout(Stdio::piped()).spawn();
        let mut archive = archive.context("failed to run git")?;
        let files = archive.stdout.take().context("git has no stdout")?;
        // Cargo compares modification times, so every file must look new to it.
        let mut tar = Command::new("tar");
        tar.arg("-xmf").arg("-").arg("-C").arg(&tree).stdin(files);
        let unpacked = tar.status().context("failed to run tar")?;
        ensure!(archive.wait()?.success() && unpacked.success(), "failed to unpack {}", self.hash);
        Ok(tree)
    }
}

/// The value of `--against`, and the other arguments. The option may appear once.
pub fn taken_from(words: &[String]) -> Result<(Option<String>, Vec<String>)> {
    let (mut name, mut rest) = (None, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--against") {
            Some("") => words.next().cloned().context("--against takes a commit")?,
            Some(value) if value.starts_with('=') => value[1..].to_owned(),
            _ => {
                rest.push(word.clone());
                continue;
            }
        };
        if name.replace(value).is_some() {
            bail!("--against is given twice");
        }
    }
    Ok((name, rest))
}

/// The head of a table of [`row`]s.
pub fn head(commit: &Commit, rounds: usize) {
    println!(
        "medians of {rounds} rounds; the ratio, over 1 if this tree is worse than {}, is the median of the ratios \
         inside the rounds (least to most); no worse: at most {NO_WORSE}",
        commit.short()
    );
    println!();
    println!("{:<66} {:>10} {:>10} {:>23}", "", commit.short(), "this tree", "ratio");
}

/// Prints one line: both figures of each round, the other commit's first. Returns false if ours are worse.
pub fn row(name: &str, rounds: &[(f64, f64)], more_is_better: bool) -> bool {
    let ratio =
        |(theirs, ours): &(f64, f64)| if more_is_better { theirs / ours } else { ours / theirs };
    let mut ratios: Vec<f64> = rounds.iter().map(ratio).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    let median = |mut figures: Vec<f64>| {
        figures.sort_unstable_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let theirs = median(rounds.iter().map(|round| round.0).collect());
    let ours = median(rounds.iter().map(|round| round.1).collect());
    let ratio = median(ratios);
    let verdict = if ratio <= NO_WORSE { "" } else { "  WORSE" };
    let span = format!("{ratio:.3} ({least:.3} to {most:.3})");
    println!("{name:<66} {theirs:>10.2} {ours:>10.2} {span:>23}{verdict}");
    ratio <= NO_WORSE
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(root());
    git
}

/// The file that cargo reports to have built for the target with this name.
fn executable(messages: &[u8], target: &str) -> Option<PathBuf> {
    let messages = serde_json::Deserializer::from_slice(messages).into_iter();
    messages.filter_map(Result::ok).find_map(|message: serde_json::Value| {
        let is_it = message["target"]["name"] == target;
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    })
}
