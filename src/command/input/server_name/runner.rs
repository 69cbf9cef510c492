//! Programs that run the server named in their arguments, and how to read the arguments of each.

/// How to read a runner's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunnerKind {
    /// A command, after this many words of the runner's own.
    Command(usize),
    /// A command after one of these words, and after `--` if there is one.
    CommandBehind(&'static [&'static str]),
    /// Like `CommandBehind`, but the command belongs to the project in the working directory.
    Project(&'static [&'static str]),
    /// A shell: a text after `-c`, or a script.
    Shell,
    /// The shell of Windows: the text after `/c`.
    Cmd,
    /// PowerShell: `-Command`, `-File`, or a script.
    PowerShell,
    /// A script, after one of these words if there are any.
    Script(&'static [&'static str]),
    /// The command line of an MCP SDK: a file after `run`.
    McpTool,
    /// A package and its arguments.
    Package,
    /// A package after one of these words; anything else is a task of the project.
    PackageOrTask(&'static [&'static str]),
    /// A package after one of these words.
    PackageBehind(&'static [&'static str]),
    /// A task of the project in the working directory.
    Task,
    /// A bridge to the server at a URL.
    Bridge,
    /// A program with rules of its own.
    Python,
    Java,
    Dotnet,
    Go,
    Cargo,
    Uv,
    Deno,
    Docker,
    Remote,
    Kubernetes,
}

/// A runner.
pub(super) struct Runner {
    /// Its names, separated by spaces.
    pub(super) names: &'static str,
    /// How to read its arguments.
    pub(super) kind: RunnerKind,
    /// Its options that take the next word as their value, separated by spaces.
    pub(super) valued: &'static str,
}

/// Options that set a runner's working directory.
pub(super) const DIRECTORY: [&str; 11] = [
    "-C",
    "-D",
    "--directory",
    "--dir",
    "--cwd",
    "--prefix",
    "--chdir",
    "--project-dir",
    "-P",
    "--project",
    "--working-directory",
];

/// Options of a shell, a wrapper or `npx` whose value is a whole command line.
pub(super) const LINE: [&str; 6] = ["-c", "--call", "--command", "-S", "--split-string", "--run"];

const NODE: &str = "-r --require --import --loader --experimental-loader --env-file -C --conditions \
    --input-type -e --eval -p --print";

const NPX: &str = "-p --package -c --call -w --workspace --prefix --registry --cache --userconfig -n \
    --node-options --node-arg -C --dir --cwd --allow-build";

const RUNS: &[&str] = &["run"];

/// All known runners.
pub(super) const RUNNERS: &[Runner] = &[
    // Wrappers.
    Runner {
        names: "env",
        kind: RunnerKind::Command(0),
        valued: "-u --unset -C --chdir -S --split-string",
    },
    Runner {
        names: "sudo doas",
        kind: RunnerKind::Command(0),
        valued: "-u --user -g --group -D --chdir -h --host -p --prompt -T -U -R",
    },
    Runner {
        names: "nice ionice stdbuf caffeinate chrt",
        kind: RunnerKind::Command(0),
        valued: "-n -c -p -i -o -e -t -w",
    },
    Runner {
        names: "nohup setsid time unbuffer exec command winpty dotenv dotenv-cli cross-env arch start",
        kind: RunnerKind::Command(0),
        valued: "-e -f --file",
    },
    Runner { names: "xvfb-run", kind: RunnerKind::Command(0), valued: "-n -s -e -f -p -w" },
    Runner {
        names: "timeout gtimeout",
        kind: RunnerKind::Command(1),
        valued: "-s --signal -k --kill-after",
    },
    Runner { names: "flock", kind: RunnerKind::Command(1), valued: "-w --timeout -E" },
    Runner {
        names: "wsl",
        kind: RunnerKind::Command(0),
        valued: "-d --distribution -u --user --cd",
    },
    Runner {
        names: "mise rtx",
        kind: RunnerKind::CommandBehind(&["exec", "x"]),
        valued: "-C --cd -E --env -j -c --command",
    },
    Runner {
        names: "op",
        kind: RunnerKind::CommandBehind(RUNS),
        valued: "--env-file --account --config --session --environment",
    },
    Runner {
        names: "doppler infisical dotenvx teller varlock secretspec vlt akeyless phase bws",
        kind: RunnerKind::CommandBehind(RUNS),
        valued: "-p --project -c --config --command -t --token -f --env-file --env --path --projectId \
            --scope --profile --mount --app --fallback",
    },
    Runner {
        names: "chamber aws-vault direnv asdf fnm volta nvm",
        kind: RunnerKind::CommandBehind(&["exec", "run"]),
        valued: "--using --node --duration -d --region",
    },
    Runner {
        names: "conda mamba micromamba",
        kind: RunnerKind::CommandBehind(RUNS),
        valued: "-n --name -p --prefix --cwd",
    },
    Runner {
        names: "nix nix-shell devbox",
        kind: RunnerKind::CommandBehind(&["develop", "shell", "run"]),
        valued: "-c --command --run -p -I",
    },
    // Shells.
    Runner {
        names: "sh bash zsh dash ksh fish ash",
        kind: RunnerKind::Shell,
        valued: "-o -O --rcfile --init-file",
    },
    Runner { names: "cmd", kind: RunnerKind::Cmd, valued: "" },
    Runner {
        names: "powershell pwsh",
        kind: RunnerKind::PowerShell,
        valued: "-ExecutionPolicy -ep -File -f -Command -c -WorkingDirectory -wd -OutputFormat -InputFormat \
            -Version",
    },
    // Interpreters.
    Runner { names: "node nodejs electron", kind: RunnerKind::Script(&[]), valued: NODE },
    Runner {
        names: "nodemon tsx ts-node ts-node-esm",
        kind: RunnerKind::Script(&["watch"]),
        valued: "-r --require --import --loader --tsconfig -P --project -e --eval --exec --watch -w",
    },
    Runner {
        names: "ruby perl php lua luajit rscript elixir julia dart crystal swift osascript racket",
        kind: RunnerKind::Script(RUNS),
        valued: "-r -I -e -E -d -l -c",
    },
    Runner {
        names: "mcp fastmcp",
        kind: RunnerKind::McpTool,
        valued: "--transport -t --host --port -p --with --with-editable -e --env-file -f",
    },
    Runner { names: "python py pypy", kind: RunnerKind::Python, valued: "-m -c -W -X" },
    Runner {
        names: "java",
        kind: RunnerKind::Java,
        valued: "-jar -cp -classpath --class-path -p --module-path -m --module --add-opens --add-modules \
            --add-exports",
    },
    Runner {
        names: "dotnet",
        kind: RunnerKind::Dotnet,
        valued: "--project -p -c --configuration -f --framework -r --runtime --launch-profile -v \
            --verbosity --file --arch --os",
    },
    // Runners of packages.
    Runner { names: "npx pnpx bunx dnx", kind: RunnerKind::Package, valued: NPX },
    Runner { names: "npm", kind: RunnerKind::PackageOrTask(&["exec", "x"]), valued: NPX },
    Runner { names: "pnpm yarn", kind: RunnerKind::PackageOrTask(&["dlx"]), valued: NPX },
    Runner {
        names: "bun",
        kind: RunnerKind::PackageOrTask(&["x"]),
        valued: "--cwd -r --preload --env-file -c --config -p --package",
    },
    Runner {
        names: "deno",
        kind: RunnerKind::Deno,
        valued: "-c --config --import-map --env-file --lock --cert -L --log-level --seed --cwd --location",
    },
    Runner {
        names: "uv uvx",
        kind: RunnerKind::Uv,
        valued: "--from --with -w --with-editable --with-requirements --python -p --directory --project \
            --index-url -i --index --default-index --extra-index-url --find-links -f --extra --group \
            --only-group --no-group --env-file --package --cache-dir --config-file --constraints -c \
            --overrides --prerelease --resolution --refresh-package --torch-backend -m --module -P \
            --exclude-newer --color",
    },
    Runner {
        names: "pipx",
        kind: RunnerKind::PackageBehind(RUNS),
        valued: "--spec --python --pip-args -i --index-url --with",
    },
    // Tools of projects.
    Runner {
        names: "poetry pdm hatch rye pipenv pixi",
        kind: RunnerKind::Project(RUNS),
        valued: "-C --directory -P --project -p -e --env --environment --manifest-path",
    },
    Runner {
        names: "bundle mix composer rails",
        kind: RunnerKind::Project(&["exec"]),
        valued: "-d --working-dir",
    },
    Runner {
        names: "make gmake just task rake ant mvn mvnw gradle gradlew sbt turbo nx",
        kind: RunnerKind::Task,
        valued: "-C --directory -f --file -d --dir -p -j --working-directory --justfile",
    },
    Runner {
        names: "cargo",
        kind: RunnerKind::Cargo,
        valued: "--manifest-path -C --bin --example -p --package -F --features --profile --target \
            --target-dir --config -Z -j --color",
    },
    Runner {
        names: "go",
        kind: RunnerKind::Go,
        valued: "-C -mod -tags -ldflags -exec -modfile -p -o -gcflags -overlay",
    },
    // Bridges.
    Runner {
        names: "mcp-remote supergateway mcp-proxy",
        kind: RunnerKind::Bridge,
        valued: "--port --host --sse-port --sse-host --transport --cwd --log-level --logLevel \
            --outputTransport --header --headers -H -e --env --allow-origin --baseUrl --stdio --sse \
            --streamableHttp --ssePath --messagePath --oauth2Bearer --auth-timeout --resource",
    },
    Runner {
        names: "smithery @smithery/cli",
        kind: RunnerKind::PackageBehind(RUNS),
        valued: "--config --key --profile --client",
    },
    // Elsewhere.
    Runner {
        names: "docker podman nerdctl",
        kind: RunnerKind::Docker,
        valued: "-H --host --context -c --config -l --log-level --connection --namespace -n",
    },
    Runner {
        names: "ssh autossh",
        kind: RunnerKind::Remote,
        valued: "-b -c -D -E -e -F -I -i -J -L -l -M -m -O -o -p -Q -R -S -W -w",
    },
    Runner {
        names: "kubectl oc",
        kind: RunnerKind::Kubernetes,
        valued: "-n --namespace -c --container --context --kubeconfig --cluster --user -f --filename \
            --pod-running-timeout",
    },
];

/// Options of `docker run`, `exec` and `compose` that take the next word as their value.
pub(super) const DOCKER: &str = "-e --env --env-file -v --volume --mount --name --network --net -u --user -w --workdir \
    --entrypoint --platform -p --publish -h --hostname --add-host --label -l --label-file -m \
    --memory --memory-swap --cpus -c --cpu-shares --cpuset-cpus --gpus --device --dns --ip \
    --link --cap-add --cap-drop --security-opt --shm-size --tmpfs --ulimit --restart --pull \
    --pid --ipc --uts --userns --runtime --log-driver --log-opt --stop-signal --stop-timeout \
    --volumes-from --group-add --expose -a --attach --cidfile --network-alias --annotation \
    --sysctl --secret --health-cmd --detach-keys --pids-limit --arch --os --variant -f --file \
    --project-name --project-directory --profile --index";

/// Runners that are also packages. Other packages with a runner's name, such as `cmd`, are not.
pub(super) const PACKAGED: &str = "tsx ts-node nodemon electron mcp fastmcp mcp-remote supergateway mcp-proxy cross-env \
    dotenv dotenv-cli dotenvx infisical node bun deno npm pnpm uv";

/// General-purpose images, which run the command they are given.
pub(super) const RUNTIMES: &str = "node python alpine debian ubuntu busybox bun deno golang openjdk temurin eclipse-temurin \
    ruby php rust uv fedora rockylinux denoland amazonlinux bash pypy";

/// True if `words` contains the word.
pub(super) fn is_one_of(word: &str, words: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

/// The runner that `program` is, if it is one. `python3.12` and `Node.EXE` count.
pub(super) fn runner(program: &str) -> Option<&'static Runner> {
    let name = program.to_ascii_lowercase();
    let ends = [".exe", ".cmd", ".bat", ".ps1", ".com"];
    let name = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let is_version = |c: char| c.is_ascii_digit() || c == '.';
    let known = |name: &str| RUNNERS.iter().find(|runner| is_one_of(name, runner.names));
    known(name).or_else(|| {
        known(name.trim_end_matches(is_version)).filter(|runner| runner.kind == RunnerKind::Python)
    })
}
