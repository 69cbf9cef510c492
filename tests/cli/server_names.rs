//! The default names of servers (contract C4).

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use callgate::command::input::server_name::{ServerName, server_name};
use sha2::{Digest as _, Sha256};

/// The working directory of all commands.
const HERE: &str = "/home/u/weather";

/// The words of a line, in which `'…'` quotes spaces.
fn words(line: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    for (nth, part) in line.split('\'').enumerate() {
        match nth % 2 {
            1 => words.push(part.into()),
            _ => words.extend(part.split_whitespace().map(OsString::from)),
        }
    }
    words
}

fn named(line: &str) -> ServerName {
    server_name(&words(line), Path::new(HERE))
}

/// The digits that end a name from this path.
fn digits(path: &str) -> String {
    let digest = Sha256::digest(path.as_bytes());
    format!("{digest:x}")[..6].to_owned()
}

const NAMED: &[(&str, &str)] = &[
    ("npx -y @modelcontextprotocol/server-everything", "server-everything"),
    ("npx -y @modelcontextprotocol/server-filesystem@2026.8.31 /tmp", "server-filesystem"),
    ("npx @a/mcp", "a-mcp"),
    ("npx @b/mcp", "b-mcp"),
    ("npx -y @acme/mcp@latest", "acme-mcp"),
    ("npx.cmd -y pkg", "pkg"),
    ("NPX.CMD -y pkg", "pkg"),
    ("npm exec -y -- pkg@1", "pkg"),
    ("pnpm dlx @acme/mcp", "acme-mcp"),
    ("yarn dlx pkg", "pkg"),
    ("bunx pkg", "pkg"),
    ("bun x pkg", "pkg"),
    ("deno run -A npm:@acme/mcp@1.2", "acme-mcp"),
    ("npx github:acme/tools", "acme-tools"),
    ("npx git+https://github.com/acme/tools.git#main", "acme-tools"),
    ("npx -p some-package -y the-server", "some-package-the-server"),
    ("npx -p @a/x x", "a-x"),
    ("npx -c 'my-server'", "my-server"),
    ("npx --call 'my-server --stdio'", "my-server"),
    ("uvx mcp-server-time --local-timezone UTC", "mcp-server-time"),
    ("uvx mcp-server-git==1.0", "mcp-server-git"),
    ("uvx mcp-server-git@latest", "mcp-server-git"),
    ("uvx --python 3.12 mcp-server-git[all]>=1", "mcp-server-git"),
    ("uvx --from mcp-server-git mcp-server-git", "mcp-server-git"),
    ("uvx --from git+https://github.com/oraios/serena serena start", "oraios-serena"),
    ("uv tool run mcp-server-time", "mcp-server-time"),
    ("uv run --with mcp-server-x mcp-server-x", "mcp-server-x"),
    ("pipx run mcp-server-time", "mcp-server-time"),
    ("pipx run --spec git+https://github.com/a/b cmd", "a-b-cmd"),
    ("pipx run --spec cmd==1.2 cmd", "cmd"),
    ("python3.12 -m mcp_server_fetch", "mcp_server_fetch"),
    ("python -u -m mcp_server_fetch --x", "mcp_server_fetch"),
    (
        "docker run -i --rm -e KEY=1 ghcr.io/github/github-mcp-server:v1.2",
        "github-github-mcp-server",
    ),
    ("docker run -i --rm mcp/time", "time"),
    ("docker run --rm -i -v /a:/b acme/mcp@sha256:abc", "acme-mcp"),
    ("docker run registry.acme.com:5000/x/y:1", "registry.acme.com_5000-x-y-"),
    ("podman run -i docker.io/library/thing", "thing"),
    ("docker run -i node:22 npx -y pkg", "node-pkg"),
    ("docker exec -i box npx pkg", "box-pkg"),
    ("go run github.com/mark3labs/mcp-filesystem-server@latest", "mark3labs-mcp-filesystem-server"),
    ("npx -y mcp-remote https://mcp.linear.app/sse", "mcp.linear.app_sse"),
    (
        "npx mcp-remote@latest https://u:p@Example.com:443/mcp/?key=1 --header 'A: b'",
        "example.com_mcp",
    ),
    ("npx mcp-remote http://localhost:3000/mcp", "localhost_3000_mcp"),
    ("npx -y supergateway --sse https://a.example/sse", "a.example_sse"),
    ("npx -y supergateway --stdio 'uvx mcp-server-git'", "mcp-server-git"),
    ("uvx mcp-proxy --transport streamablehttp https://a.example/mcp", "a.example_mcp"),
    ("mcp-proxy --port 8080 -- uvx mcp-server-git", "mcp-server-git"),
    ("npx -y @smithery/cli@latest run @o/t --key k", "o-t"),
    ("ssh HOST server", "HOST-server"),
    ("ssh -p 2222 -i key u@host 'npx -y pkg'", "host-2222-pkg"),
    ("cmd /c npx -y pkg", "pkg"),
    ("cmd.exe /d /s /c 'npx -y pkg'", "pkg"),
    ("sh -c 'exec npx -y pkg'", "pkg"),
    ("bash -lc 'uvx x'", "x"),
    ("bash -lc 'A=b uvx \"x\"'", "x"),
    ("powershell -NoProfile -Command npx -y pkg", "pkg"),
    ("env A=b -u C npx pkg", "pkg"),
    ("sudo -u alice npx pkg", "pkg"),
    ("timeout -s KILL 5 npx pkg", "pkg"),
    ("mise exec node@22 -- npx -y pkg", "pkg"),
    ("mise x -- uvx pkg", "pkg"),
    ("op run --env-file=.env -- npx -y pkg", "pkg"),
    ("doppler run -p proj -c dev -- npx -y pkg", "pkg"),
    ("doppler run --command 'npx -y pkg'", "pkg"),
    ("conda run -n env --no-capture-output mcp-server-x", "mcp-server-x"),
    ("conda run -n env python -m mcp_server_x", "mcp_server_x"),
    ("poetry run npx pkg", "pkg"),
    ("dotenvx run -f .env -- npx pkg", "pkg"),
    ("npx -y dotenv-cli -e .env npx pkg", "pkg"),
    ("github-mcp-server stdio", "github-mcp-server"),
    ("node", "server"),
    ("npx", "server"),
    ("日本", "__-"),
];

/// Names that are the same on each machine.
#[test]
fn packages_images_and_commands_give_their_own_name() {
    for (line, name) in NAMED.iter().copied() {
        let found = named(line);
        // A name that ends with `-` here is followed by digits.
        let same = match name.strip_suffix('-') {
            Some(_) => found.name.strip_prefix(name).is_some_and(|digits| digits.len() == 6),
            None => found.name == name,
        };
        assert!(same, "{line}: {} in place of {name}", found.name);
        assert!(!found.is_local, "{line}: {found:?}");
    }
}

/// Names of files and directories, each with the path that its digits come from.
#[test]
fn files_and_directories_give_their_name_and_six_digits_of_their_path() {
    let rows = [
        ("/usr/bin/node /opt/weather/index.js", "weather-index", "/opt/weather/index.js"),
        ("node ./server/main.mjs", "weather-server-main", "/home/u/weather/server/main.mjs"),
        ("node /A/build/index.js", "A-build-index", "/A/build/index.js"),
        ("node /B/build/index.js", "B-build-index", "/B/build/index.js"),
        ("node --import tsx dist/../x.mjs", "x", "/home/u/weather/x.mjs"),
        ("node ../x//y.cjs", "y", "/home/u/x/y.cjs"),
        ("npx tsx src/index.ts", "weather-src-index", "/home/u/weather/src/index.ts"),
        ("bun run src/x.ts", "x", "/home/u/weather/src/x.ts"),
        ("deno run -A --env-file=.env main.ts", "weather-main", "/home/u/weather/main.ts"),
        ("python3 -u /opt/w/server.py --x", "w-server", "/opt/w/server.py"),
        ("/x/.venv/bin/python /opt/w/a.py", "a", "/opt/w/a.py"),
        ("python -m src.server", "weather-src-server", "/home/u/weather/src/server"),
        ("uv --directory X run server.py", "X-server", "/home/u/weather/X/server.py"),
        ("uv run --directory /y weather.py", "weather", "/y/weather.py"),
        ("uv run --project X w.py", "w", "/home/u/weather/w.py"),
        ("uv run --with mcp[cli] mcp run /opt/w/server.py:app", "w-server", "/opt/w/server.py"),
        ("uv run --with fastmcp fastmcp run s/x.py", "x", "/home/u/weather/s/x.py"),
        ("uv --directory /y run python -m w", "w", "/y/w"),
        ("poetry -C /y run python w.py", "w", "/y/w.py"),
        ("java -jar X.jar", "X", "/home/u/weather/X.jar"),
        ("java -Xmx1g -jar /a/X.jar -cp y", "X", "/a/X.jar"),
        ("go run X", "X", "/home/u/weather/X"),
        ("go run .", "weather", "/home/u/weather"),
        ("go run ./cmd/server", "cmd-server", "/home/u/weather/cmd/server"),
        ("dotnet run --project X", "X", "/home/u/weather/X"),
        ("dotnet run --project /a/X/X.csproj", "X", "/a/X"),
        ("dotnet /a/X.dll", "X", "/a/X.dll"),
        ("cargo run --manifest-path /p/q/Cargo.toml", "q", "/p/q"),
        ("cargo run", "weather", "/home/u/weather"),
        ("sh ./run.sh", "run", "/home/u/weather/run.sh"),
        ("env A=b /opt/thing/run.sh", "run", "/opt/thing/run.sh"),
        ("env -C /y ./z", "z", "/y/z"),
        ("./my server", "my", "/home/u/weather/my"),
        ("npx ./local", "local", "/home/u/weather/local"),
        ("C:\\tools\\Server.exe", "Server", "C:/tools/Server.exe"),
        ("sh -c 'node /a/b.js'", "b", "/a/b.js"),
        ("cmd /c node C:\\w\\index.js", "w-index", "C:/w/index.js"),
        ("php artisan", "artisan", "/home/u/weather/artisan"),
        // The part that runs in a directory comes after the directory.
        ("poetry -C X run server", "X-server", "/home/u/weather/X\0server"),
        ("poetry run server", "weather-server", "/home/u/weather\0server"),
        ("uv --directory X run mcp-w", "X-mcp-w", "/home/u/weather/X\0mcp-w"),
        ("uv --project X run mcp-w", "X-mcp-w", "/home/u/weather/X\0mcp-w"),
        ("npm run start", "weather-start", "/home/u/weather\0start"),
        ("npm --prefix /p start", "p-start", "/p\0start"),
        ("pnpm -C /p dev", "p-dev", "/p\0dev"),
        ("cargo run --bin w --manifest-path /p/q/Cargo.toml", "q-w", "/p/q\0w"),
        ("make -C /p serve", "p-make-serve", "/p\0make-serve"),
    ];
    for (line, name, path) in rows {
        let expected = ServerName { name: format!("{name}-{}", digits(path)), is_local: true };
        assert_eq!(named(line), expected, "{line}");
    }
}

/// Each row is one server, written in several ways.
#[test]
fn one_server_has_one_name() {
    for row in [
        &[
            "node server/main.mjs",
            "node ./server/main.mjs",
            "node /home/u/weather/server/../server//main.mjs",
        ][..],
        &[
            "npx pkg",
            "npx -y pkg@1.2.3",
            "npx pkg@latest --port 1",
            "bunx pkg",
            "cmd /c npx -y pkg",
            "env A=b npx pkg",
        ],
        &["uvx x", "uvx x==1", "uvx x@2", "uv tool run x", "bash -lc 'uvx x'", "pipx run x"],
        &[
            "docker run mcp/time",
            "docker run -i --rm -e A=b mcp/time:2",
            "podman run docker.io/mcp/time",
        ],
        &[
            "npx mcp-remote https://h/p",
            "npx -y mcp-remote@1 https://h/p/?token=1 --header x",
            "npx supergateway --sse https://H:443/p",
        ],
        &[
            "cargo run --manifest-path p/Cargo.toml",
            "cargo -C p run",
            "cargo +nightly run -q --release --manifest-path ./p/Cargo.toml",
        ],
        &["dotnet run --project p", "dotnet run --project p/x.csproj", "dotnet run -p ./p -- --x"],
        &["poetry -C X run s", "poetry run -C ./X s", "poetry --directory X run s"],
        &[
            "uv --directory X run s.py",
            "uv run --directory=X s.py",
            "uv run /home/u/weather/X/s.py",
        ],
    ] {
        let names: Vec<ServerName> = row.iter().map(|line| named(line)).collect();
        assert!(names.iter().all(|name| *name == names[0]), "{row:?}: {names:?}");
    }
    let there = server_name(&words("node ../weather/x.js"), Path::new("/home/u/other"));
    assert_eq!(named("node x.js"), there);
}

const DIFFERENT: &[&str] = &[
    "node /A/build/index.js",
    "node /B/build/index.js",
    "node ./server/main.mjs",
    "node /x/server/main.mjs",
    "npx mcp-remote https://a.example/mcp",
    "npx mcp-remote https://b.example/mcp",
    "npx mcp-remote https://a.example/sse",
    "npx mcp-remote http://localhost:3000/mcp",
    "npx mcp-remote http://localhost:4000/mcp",
    "npx mcp-remote https://a.example/x/y",
    "npx mcp-remote https://a.example/x_y",
    "uv --directory /A run server.py",
    "uv --directory /B run server.py",
    "uv --directory /A run other.py",
    "uv --directory /A run mcp-x",
    "uv --directory /B run mcp-x",
    "uv --directory /A run mcp-y",
    "java -jar /A/X.jar",
    "java -jar /B/X.jar",
    "java -cp /A/x.jar com.acme.Main",
    "java -cp /B/x.jar com.acme.Main",
    "go run /A/X",
    "go run /B/X",
    "go run github.com/a/x@v1",
    "go run github.com/b/x@v1",
    "dotnet run --project /A/Y",
    "dotnet run --project /B/Y",
    "poetry -C /A run server",
    "poetry -C /B run server",
    "npm --prefix /A start",
    "npm --prefix /B start",
    "ssh h1 server",
    "ssh h2 server",
    "ssh h1 'python /x/server.py'",
    "ssh h1 'python /y/server.py'",
    "npx @a/mcp",
    "npx @b/mcp",
    "npx -p @a/x run-it",
    "npx -p @b/y run-it",
    "pipx run --spec git+https://github.com/a/b cmd",
    "pipx run --spec git+https://github.com/c/d cmd",
    "uvx --from /A cmd",
    "uvx --from /B cmd",
    "docker run acme/mcp-image",
    "docker run other/mcp-image",
    "docker run node:22 node /app/index.js",
    "docker run -v /A:/app node:22 node /app/index.js",
    "docker run -v /B:/app node:22 node /app/index.js",
    "docker run node npx pkg1",
    "docker run node npx pkg2",
    "sh -c 'cd /A && node x.js'",
    "sh -c 'cd /B && node x.js'",
    "node -e 'a'",
    "node -e 'b'",
    "python -c 'a'",
    "python -c 'b'",
    "kubectl exec -i pod1 -- server",
    "kubectl exec -i pod2 -- server",
    "docker compose -f /A/compose.yml run svc",
    "docker compose -f /B/compose.yml run svc",
    "cargo run --manifest-path /A/x/Cargo.toml",
    "cargo run --manifest-path /B/x/Cargo.toml",
    "npx -y @smithery/cli run @o/t",
    "npx -y @smithery/cli run @o/u",
    "make -C /A s",
    "make -C /B s",
    "uv run --with mcp mcp run /C/server.py",
    "uv run --with mcp mcp run /D/server.py",
    "日本",
    "中国",
    "npx @é/x",
    "npx @ü/x",
];

/// All of these are different servers.
#[test]
fn two_servers_never_share_a_name() {
    let long = "a".repeat(70);
    let long = [format!("npx {long}b"), format!("npx {long}c")];
    let mut names: HashMap<String, &str> = HashMap::new();
    for line in DIFFERENT.iter().copied().chain(long.iter().map(String::as_str)) {
        let name = named(line).name;
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        assert!(name.len() <= 64 && !name.is_empty() && name.chars().all(safe), "{line}: {name}");
        if let Some(other) = names.insert(name.clone(), line) {
            panic!("{name} is the name of `{line}` and of `{other}`");
        }
    }
    let at_home = server_name(&words("npm start"), Path::new("/home/u/a"));
    assert_ne!(at_home, server_name(&words("npm start"), Path::new("/home/u/b")));
}

/// The name of a command can always be computed, in bounded time.
#[test]
fn any_words_have_a_name() {
    let pieces = [
        "env",
        "sh",
        "-c",
        "'sh -c x'",
        "npx",
        "-p",
        "--",
        "uv",
        "run",
        "docker",
        "exec",
        "mise",
        "cmd",
        "/c",
        "=",
        "a=b",
        "ssh",
        "..",
        "/",
        "",
        "-",
        "python",
        "-m",
        "é/",
        "--directory",
        "cargo",
        "@",
        "@/",
        "git+://",
        "https://",
        "%",
    ];
    let mut seed = 7_u32;
    for _ in 0..20_000 {
        let mut line = Vec::new();
        for _ in 0..seed % 9 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            line.push(OsString::from(pieces[seed as usize % pieces.len()]));
        }
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let name = server_name(&line, Path::new(HERE)).name;
        assert!((1..=64).contains(&name.len()), "{line:?}: {name}");
    }
    let deep: Vec<OsString> = std::iter::repeat_n("env".into(), 10_000).collect();
    assert!(server_name(&deep, Path::new(HERE)).name.starts_with("env-"));
}
