//! The address of a Redis server, and how to connect. A URL may hold secrets: only its address is ever shown.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail, ensure};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo as _, RedisError, TlsCertificates,
};

/// The accepted forms of a URL.
const FORMS: &str = "say `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, the same with `rediss://` for TLS, \
    or `unix:///PATH[?db=DATABASE&user=USER&pass=PASSWORD]`";

/// A Redis or Valkey server, as a URL names it.
#[derive(Clone)]
pub(super) struct RedisPlace {
    connection: ConnectionInfo,
    tls: Option<TlsFiles>,
    /// The address, for display.
    shown: String,
    /// Texts that no message may contain.
    secrets: Vec<String>,
}

/// Files for TLS that a URL may name. They are read at each connection, since certificates are renewed.
#[derive(Debug, Clone, Default)]
struct TlsFiles {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl RedisPlace {
    /// Parses a URL.
    pub(super) fn parse(url: &str) -> anyhow::Result<Self> {
        let parsed = redis::parse_redis_url(url)
            .ok_or_else(|| anyhow!("state is not the URL of a Redis server; {FORMS}"))?;
        let is_socket = parsed.scheme().ends_with("unix");
        let is_tls = matches!(parsed.scheme(), "rediss" | "valkeys");
        ensure!(
            parsed.fragment().is_none(),
            "a URL of a Redis server has no `#` part: certificates are always checked"
        );
        ensure!(is_socket || parsed.has_host(), "state names no host; {FORMS}");
        ensure!(
            parsed.username().is_empty() || parsed.password().is_some(),
            "state names a user but no password; {FORMS}"
        );
        let mut tls = TlsFiles::default();
        let mut secrets = vec![parsed.password().unwrap_or_default().to_owned()];
        for (name, value) in parsed.query_pairs() {
            match (&*name, is_socket, is_tls) {
                ("ca", _, true) => tls.ca = Some(PathBuf::from(&*value)),
                ("cert", _, true) => tls.cert = Some(PathBuf::from(&*value)),
                ("key", _, true) => tls.key = Some(PathBuf::from(&*value)),
                ("pass", true, _) => secrets.push(value.into_owned()),
                ("db" | "user", true, _) => {}
                _ if is_tls => bail!("state takes only `ca`, `cert` and `key` after its `?`"),
                _ => bail!("state has a wrong part after its `?`; {FORMS}"),
            }
        }
        ensure!(
            tls.cert.is_some() == tls.key.is_some(),
            "`cert` and `key` of state must be given together"
        );
        let connection = parsed.into_connection_info().map_err(|error| {
            anyhow!("state is not the URL of a Redis server: {}", told(&error, &[]))
        })?;
        let settings = connection.redis_settings().clone().set_skip_set_lib_name();
        secrets.extend(settings.password().map(str::to_owned));
        secrets.retain(|secret| !secret.is_empty());
        let shown = show(&connection, settings.db());
        let connection = connection.set_redis_settings(settings);
        Ok(RedisPlace { connection, tls: is_tls.then_some(tls), shown, secrets })
    }

    /// Connects and logs in.
    pub(super) async fn connect(&self) -> anyhow::Result<MultiplexedConnection> {
        let client = match &self.tls {
            Some(files) => Client::build_with_tls(self.connection.clone(), files.read()?),
            None => Client::open(self.connection.clone()),
        };
        // The caller has a limit of its own.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        match client {
            Ok(client) => client.get_multiplexed_async_connection_with_config(&config).await,
            Err(error) => Err(error),
        }
        .map_err(|error| self.explain(&error))
    }

    /// Describes an error without secrets.
    pub(super) fn explain(&self, error: &RedisError) -> anyhow::Error {
        anyhow!("{}", told(error, &self.secrets))
    }
}

/// Shows the address alone.
impl fmt::Display for RedisPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.shown).finish()
    }
}

impl TlsFiles {
    fn read(&self) -> anyhow::Result<TlsCertificates> {
        let read = |path: &Option<PathBuf>| {
            let read = |path: &PathBuf| {
                std::fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))
            };
            path.as_ref().map(read).transpose()
        };
        let client_tls = match (read(&self.cert)?, read(&self.key)?) {
            (Some(client_cert), Some(client_key)) => {
                Some(ClientTlsConfig { client_cert, client_key })
            }
            _ => None,
        };
        Ok(TlsCertificates { client_tls, root_cert: read(&self.ca)? })
    }
}

/// The address without credentials.
fn show(connection: &ConnectionInfo, database: i64) -> String {
    let at_host = |scheme: &str, host: &str, port: u16| {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        format!("{scheme}://{host}:{port}")
    };
    let (address, before_database) = match connection.addr() {
        ConnectionAddr::Tcp(host, port) => (at_host("redis", host, *port), "/"),
        ConnectionAddr::TcpTls { host, port, .. } => (at_host("rediss", host, *port), "/"),
        ConnectionAddr::Unix(path) => (format!("unix://{}", path.display()), "?db="),
        _ => ("redis".to_owned(), "/"),
    };
    if database == 0 { address } else { format!("{address}{before_database}{database}") }
}

/// Describes an error of the client or the server for people. A server may repeat what it was sent.
fn told(error: &RedisError, secrets: &[String]) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => error.to_string(),
    };
    // Names of the client's types and the operating system's numbers help nobody.
    let text = text.replace(&format!(" - {:?}", error.kind()), "");
    let text = text.split(" (os error ").next().unwrap_or_default();
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

#[cfg(test)]
mod tests {
    use super::RedisPlace;

    fn shown(url: &str) -> String {
        RedisPlace::parse(url)
            .map_or_else(|error| format!("error: {error:#}"), |place| place.to_string())
    }

    #[test]
    fn only_the_address_is_shown() {
        for (url, expected) in [
            ("redis://localhost", "redis://localhost:6379"),
            ("redis://:hush@db.example:7000/3", "redis://db.example:7000/3"),
            ("valkey://ann:hush@[::1]:7000", "redis://[::1]:7000"),
            ("rediss://ann:hush@db.example?ca=/etc/ca.pem", "rediss://db.example:6379"),
            ("unix:///run/redis.sock?db=2&user=ann&pass=hush", "unix:///run/redis.sock?db=2"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
            assert!(!format!("{:?}", RedisPlace::parse(url)).contains("hush"), "{url}");
        }
    }

    #[test]
    fn a_bad_url_is_told_without_its_secret() {
        for (url, expected) in [
            ("redis://:hush@", "state is not the URL"),
            ("redis:hush", "names no host"),
            ("http://:hush@host", "state is not the URL"),
            ("redis://:hush@host:99999", "state is not the URL"),
            ("redis://:hush@host/hush", "Invalid database number"),
            ("redis://hush@host", "names a user but no password"),
            ("redis://:hush@host?ca=/etc/ca.pem", "wrong part after its `?`"),
            ("rediss://:hush@host?hush=1", "only `ca`, `cert` and `key`"),
            ("rediss://:hush@host?cert=/etc/cert.pem", "must be given together"),
            ("rediss://:hush@host#insecure", "certificates are always checked"),
            ("redis://:hush@0.0.0.0", "wildcard"),
        ] {
            let told = shown(url);
            assert!(told.starts_with("error: ") && told.contains(expected), "{url}: {told}");
            assert!(!told.contains("hush"), "{url}: {told}");
        }
    }
}
