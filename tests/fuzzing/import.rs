//! Arbitrary bytes as an Intercept policy. The result is a sound callgate policy, or problems at places inside the
//! file.

use std::path::Path;

use callgate::command::import::{Imported, import_bytes};
use callgate::command::show::diagnostics::SourceFile;
use callgate::engine::compile::compile;
use callgate::engine::text::escape::is_hidden;

/// The input is an Intercept policy file.
pub(crate) fn check(file: &[u8]) {
    match import_bytes(file) {
        Ok(Imported { policy, .. }) => {
            assert!(!policy.chars().any(|c| c != '\n' && is_hidden(c)), "{policy:?}");
            if let Err(problems) = compile(policy.as_bytes()) {
                panic!("{problems:?}");
            }
            let document: serde_json::Value = serde_json::from_str(&policy).expect("JSON");
            assert_eq!(document["version"], "1");
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            assert!(problems.is_sorted_by_key(|problem| problem.at), "not in file order");
            let source = SourceFile::new(Path::new("policy.yaml"), file);
            for problem in &problems {
                assert!(problem.at <= file.len(), "{problem:?} is outside");
                assert!(problem.at + problem.len.unwrap_or(0) <= file.len(), "{problem:?}");
                assert!(!problem.message.is_empty() && problem.help != Some(String::new()));
                let shown = source.show(problem, 80, false);
                assert!(!shown.chars().any(|c| c != '\n' && is_hidden(c)), "{shown:?}");
                serde_json::to_value(source.json(problem)).expect("JSON");
            }
        }
    }
}
