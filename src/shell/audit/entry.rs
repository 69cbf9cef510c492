//! The lines of an audit log as they are read again (contract S3): those of older versions, and what is known of those of
//! newer ones.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::{AuditEvent, EventKind};
use crate::engine::outcome::Outcome;

/// A line of a log, as it is read.
#[derive(Debug)]
pub struct LogEntry {
    /// What every line has.
    pub common: Common,
    /// The event; none if a newer version wrote one that this version does not know.
    pub event: Option<AuditEvent<'static>>,
}

/// What every line of a log has. A field that a line lacks is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Common {
    /// The number of the line.
    pub seq: u64,
    /// When it happened: RFC 3339 in UTC with milliseconds, which compares as text.
    pub time: String,
    /// The word for the event.
    pub event: String,
    /// The server's name.
    pub server: String,
    /// The grant.
    pub grant: String,
    /// The run.
    pub session: String,
    /// How many events this line stands for; 0 is one.
    pub count: u64,
    /// When the first of them happened, if it stands for several.
    pub since: String,
    /// The fields in which they differ.
    pub various: Vec<String>,
}

/// The members of [`Common`], and the one that binds a line to the one before.
const COMMON: [&str; 10] =
    ["seq", "prev", "time", "event", "server", "grant", "session", "count", "since", "various"];

impl LogEntry {
    /// Reads a line; none if it is no line of a log.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        let common: Common = serde_json::from_slice(line).ok()?;
        let event = match EventKind::from_word(&common.event) {
            Some(kind) => Some(AuditEvent::read(kind, line).ok()?),
            None if common.event.is_empty() => return None,
            None => None,
        };
        Some(LogEntry { common, event })
    }

    /// True if something was refused: a call, a method, or a line.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        match &self.event {
            Some(AuditEvent::Call(call)) => !call.outcome.is(Outcome::Allowed),
            Some(AuditEvent::MethodDenied(method)) => !method.shadow,
            Some(AuditEvent::FrameRefused(_)) => true,
            _ => false,
        }
    }

    /// How many events this line stands for (contract S3).
    #[must_use]
    pub fn count(&self) -> u64 {
        self.common.count.max(1)
    }

    /// True if the events that this line stands for differ in this field.
    #[must_use]
    pub fn is_various(&self, field: &str) -> bool {
        self.common.various.iter().any(|various| various == field)
    }

    /// True if the line tells of a tool that is `wanted`, or may do so.
    #[must_use]
    pub fn may_be_of(&self, wanted: impl Fn(&str) -> bool) -> bool {
        match &self.event {
            Some(AuditEvent::Call(call)) => wanted(&call.tool) || self.is_various("tool"),
            _ => false,
        }
    }
}

/// The members of a line that this version does not know, as they are spelt, in their order: those of an event of a newer
/// version, and fields that it added to one.
#[must_use]
pub fn unknown_members(line: &[u8]) -> Vec<(String, Box<RawValue>)> {
    let Some(entry) = LogEntry::of(line) else { return Vec::new() };
    let known = entry.event.as_ref().map(AuditEvent::members).unwrap_or_default();
    let known = members_of(["{", &known, "}"].concat().as_bytes());
    // The names that fields had before, and what an event leaves out if it is zero.
    let before = ["decision", "outcome", "more_keys", "lines", "torn_bytes", "message"];
    let is_known = |name: &str| {
        COMMON.contains(&name)
            || known.iter().any(|(known, _)| known == name)
            || entry.event.is_some() && before.contains(&name)
    };
    members_of(line).into_iter().filter(|(name, _)| !is_known(name)).collect()
}

/// The members of a JSON object, in their order.
fn members_of(object: &[u8]) -> Vec<(String, Box<RawValue>)> {
    struct MemberVisitor;
    impl<'de> serde::de::Visitor<'de> for MemberVisitor {
        type Value = Vec<(String, Box<RawValue>)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(object);
    serde::Deserializer::deserialize_map(&mut reader, MemberVisitor).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{LogEntry, unknown_members};
    use crate::shell::audit::event::{AuditEvent, EventKind, RecordsLost};
    use crate::shell::audit::head::Recovered;

    #[test]
    fn every_kind_of_event_is_read_as_it_is_written() {
        for (word, kind) in EventKind::WORDS {
            let line = format!(r#"{{"event":"{word}","lines":1,"torn_bytes":0}}"#);
            let entry = LogEntry::of(line.as_bytes()).expect("a line");
            let event = entry.event.expect("a known event");
            assert_eq!(event.kind(), *kind);
            assert!(event.members().starts_with(&format!(r#""event":"{word}","#)), "{event:?}");
        }
        let event = AuditEvent::RecordsLost(RecordsLost { lines: 3 });
        assert_eq!(event.members(), r#""event":"records_lost","lines":3"#);
    }

    #[test]
    fn what_a_writer_recovered_is_an_event() {
        let recovered = Recovered { lines: 2, ..Recovered::default() };
        let line = recovered.body().expect("something to tell");
        let entry = LogEntry::of(line.as_bytes()).expect("a line");
        assert!(
            matches!(entry.event, Some(AuditEvent::Recovered(read)) if read == recovered),
            "{line}"
        );
    }

    /// What a newer version writes is no junk, and what it adds can be shown.
    #[test]
    fn what_a_newer_version_adds_is_found() {
        let line = br#"{"seq":1,"event":"call","tool":"t","outcome":"paused","x":{"b":1, "a":2},"server":"s"}"#;
        let entry = LogEntry::of(line).expect("a line");
        assert!(entry.is_denial());
        let shown = |line| {
            let members = unknown_members(line).into_iter();
            members.map(|(name, value)| format!("{name}={}", value.get())).collect::<Vec<_>>()
        };
        assert_eq!(shown(line), [r#"x={"b":1, "a":2}"#]);
        assert_eq!(shown(br#"{"seq":1,"event":"answer","outcome":"result"}"#), [""; 0]);
        let line = br#"{"seq":1,"event":"approval_asked","id":7,"channel":"desktop","server":"s"}"#;
        assert_eq!(shown(line), ["id=7", r#"channel="desktop""#]);
        assert!(LogEntry::of(br#"{"event":"call","tool":7}"#).is_none());
        assert!(LogEntry::of(br#"{"seq":1}"#).is_none());
    }
}
