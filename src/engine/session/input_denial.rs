//! Messages of the server that ask the client to run methods which the policy denies (contract P15).

use std::sync::Arc;

use super::Session;
use super::audit_record::Record;
use super::step::{Answer, Step};
use crate::engine::limits::Now;
use crate::engine::policy::Mode;
use crate::engine::wire::frame::{Frame, Unrelayed};
use crate::engine::wire::input_requests;
use crate::engine::wire::line::Side;

/// A method that a message of the server asks the client to run and that the policy denies, if there is one.
#[derive(Debug, Default)]
pub(super) struct Denied {
    /// False in shadow mode, and if no method is denied.
    pub(super) enforced: bool,
    pub(super) method: String,
    pub(super) rule: Arc<str>,
    pub(super) record: Option<Record>,
}

impl Session {
    /// Returns `step` for a message that is no answer to a request, unless the message asks the client to run a method
    /// that the policy denies: then the server gets what `answer` makes of the method and the rule.
    pub(super) fn unless_input_is_denied(
        &mut self,
        line: &[u8],
        frame: &Frame<'_>,
        step: Step,
        answer: impl FnOnce(&str, &str) -> Vec<u8>,
        now: Now,
    ) -> Step {
        let Step::Forward { charge, mut records } = step else { return step };
        match self.denied_input(frame) {
            Ok(Denied { method, rule, record, enforced: true }) => {
                let (bytes, records) = (answer(&method, &rule), record.into_iter().collect());
                Step::Answer(Answer { bytes, records, ..Answer::default() })
            }
            Ok(Denied { record, .. }) => {
                if records.is_empty() {
                    records.extend(record);
                }
                Step::Forward { charge, records }
            }
            Err(unrelayed) => self.unrelayed(line, unrelayed, now),
        }
    }

    /// Finds the method that a message asks the client to run and that the policy denies (contract P15).
    pub(super) fn denied_input(&self, frame: &Frame<'_>) -> Result<Denied, Unrelayed> {
        if self.policy.methods.is_empty() {
            return Ok(Denied::default());
        }
        let found =
            input_requests::find_input_method(frame, |method| self.policy.methods.denial(method));
        let found = found.map_err(|reason| Unrelayed::Unreadable(reason.into()))?;
        let Some((rule, method)) = found else { return Ok(Denied::default()) };
        let enforced = self.mode() == Mode::Enforce;
        let record = self.method_record(Side::Server, &method, rule, enforced);
        Ok(Denied { enforced, method, rule: Arc::clone(&rule.pointer), record })
    }
}
