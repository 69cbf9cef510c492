//! The URLs of a server: password, user, database, socket, TLS. Secrets are not shown.

use std::path::Path;
use std::process::{Command, Stdio};

use super::server::{Run, Server, hourly};

const HUSH: &str = "h:u/s h@%";
const WRITTEN: &str = "h%3Au%2Fs%20h%40%25";

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Reserves once at each URL. URLs that share a database share the counter, so only the first has room.
fn works(url: &str) {
    assert!(Run::at(url).takes(&hourly(url), 1), "{url}");
    assert!(!Run::of(url, "files", "ann", "two").takes(&hourly(url), 1), "{url}");
}

fn fails(url: &str, expected: &str) {
    let why = Run::at(url).trouble(&hourly("calls"));
    assert!(why.to_lowercase().contains(expected), "{why}");
    assert!(!why.contains(HUSH) && !why.contains(WRITTEN) && !why.contains("wrong"), "{why}");
}

#[test]
fn a_password_logs_in() {
    let server = Server::with(|_| vec!["--requirepass".into(), HUSH.into()]);
    let port = server.port();
    works(&format!("redis://:{WRITTEN}@127.0.0.1:{port}"));
    works(&format!("valkey://default:{WRITTEN}@localhost:{port}/3"));
    fails(&format!("redis://:wrong@127.0.0.1:{port}"), "password authentication failed");
    fails(&format!("redis://127.0.0.1:{port}"), "auth");
    fails(&format!("redis://:{WRITTEN}@127.0.0.1:{port}/99"), "");
}

#[test]
fn a_secret_that_a_server_repeats_is_not_shown() {
    let server = Server::with(|_| words("--rename-command AUTH LOGIN"));
    fails(
        &format!("redis://:{WRITTEN}@127.0.0.1:{}", server.port()),
        "password authentication failed",
    );
}

#[test]
fn a_user_needs_only_these_rights() {
    let rights =
        "~callgate:* +eval +evalsha +time +hget +hgetall +hset +hdel +pexpireat +del +select";
    let user = format!("--user ann on >hush {rights}");
    let server = Server::with(|_| words(&user));
    let port = server.port();
    works(&format!("redis://ann:hush@127.0.0.1:{port}"));
    works(&format!("redis://ann:hush@127.0.0.1:{port}/1"));
    let mut run = Run::at(&format!("redis://ann:hush@127.0.0.1:{port}"));
    assert!(run.takes(&hourly("more"), 1));
    run.end();
    fails(&format!("redis://bob:wrong@127.0.0.1:{port}"), "password authentication failed");
}

#[test]
fn a_url_may_name_a_socket_or_a_database() {
    let server =
        Server::with(|dir| vec!["--unixsocket".into(), dir.join("socket").display().to_string()]);
    let socket = server.dir().join("socket");
    works(&format!("unix://{}", socket.display()));
    works(&format!("unix://{}?db=4", socket.display()));
    assert!(Run::at(&format!("redis://127.0.0.1:{}/4", server.port())).takes(&hourly("calls"), 1));
    assert!(Run::at(&server.url()).takes(&hourly("calls"), 1), "another database");
}

/// A self-signed certificate for 127.0.0.1.
fn certificate(dir: &Path) {
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test \
        -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem";
    let mut openssl = Command::new("openssl");
    openssl.args(words(request)).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    let status =
        openssl.status().expect("`openssl`, which this test needs (Debian: `apt install openssl`)");
    assert!(status.success());
}

#[test]
fn tls_works_both_ways_and_checks_certificates() {
    let server = Server::with(|dir| {
        certificate(dir);
        words(
            "--tls-cert-file cert.pem --tls-key-file key.pem --tls-ca-cert-file cert.pem --tls-replication no",
        )
    });
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _: () = server.ask(&["CONFIG", "SET", "tls-port", &port.to_string()]);
    let file = |name: &str| server.dir().join(name).display().to_string();
    let (ca, cert, key) = (file("cert.pem"), file("cert.pem"), file("key.pem"));
    works(&format!("rediss://127.0.0.1:{port}?ca={ca}&cert={cert}&key={key}"));
    fails(&format!("rediss://127.0.0.1:{port}?ca={ca}"), "certificate");
    fails(&format!("rediss://127.0.0.1:{port}"), "certificate");
    fails(&format!("rediss://localhost:{port}?ca={ca}&cert={cert}&key={key}"), "certificate");
    fails(
        &format!("rediss://127.0.0.1:{port}?ca=/nowhere/ca.pem"),
        "failed to read `/nowhere/ca.pem`",
    );
    fails(&format!("redis://127.0.0.1:{port}"), "");
    let _: () = server.ask(&["CONFIG", "SET", "tls-auth-clients", "no"]);
    works(&format!("rediss://127.0.0.1:{port}?ca={ca}"));
}
