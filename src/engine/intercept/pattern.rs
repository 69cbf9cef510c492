//! Translates patterns of Go (RE2) to patterns of Rust's regex that match the same texts. Both take linear time and are
//! nearly alike; what they spell alike and read differently is rewritten, or refused.
//!
//! Sources: the syntax pages of Go's `regexp/syntax` and of the crates `regex` and `regex-syntax`.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerlKind, ClassSetBinaryOp, ClassSetItem, Flag, FlagsItemKind,
    RepetitionKind, RepetitionRange, Span, Visitor,
};

/// Rewrites a pattern.
///
/// # Errors
/// It is no pattern, or has something that Go reads differently and that cannot be said.
pub(crate) fn from_go(pattern: &str) -> Result<String, String> {
    let ast =
        Parser::new().parse(pattern).map_err(|error| format!("bad pattern: {}", error.kind()))?;
    let edits = ast::visit(&ast, Rewriter { pattern, edits: Vec::new() })?;
    let mut rewritten = String::with_capacity(pattern.len());
    let mut done = 0;
    for (span, text) in edits {
        rewritten.push_str(pattern.get(done..span.start.offset).unwrap_or_default());
        rewritten.push_str(text);
        done = span.end.offset;
    }
    rewritten.push_str(pattern.get(done..).unwrap_or_default());
    Ok(rewritten)
}

struct Rewriter<'p> {
    pattern: &'p str,
    /// What to put in place of what, in the order of the text.
    edits: Vec<(Span, &'static str)>,
}

impl Rewriter<'_> {
    fn perl_class(&mut self, class: &ast::ClassPerl) {
        // Go's classes are those of ASCII, and its white space has no vertical tab.
        let text = match (&class.kind, class.negated) {
            (ClassPerlKind::Digit, false) => "[0-9]",
            (ClassPerlKind::Digit, true) => "[^0-9]",
            (ClassPerlKind::Space, false) => r"[\t\n\f\r ]",
            (ClassPerlKind::Space, true) => r"[^\t\n\f\r ]",
            (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
        };
        self.edits.push((class.span, text));
    }

    fn flags(flags: &ast::Flags) -> Result<(), String> {
        let unknown = flags.items.iter().find_map(|item| match item.kind {
            FlagsItemKind::Flag(Flag::IgnoreWhitespace) => Some('x'),
            FlagsItemKind::Flag(Flag::Unicode) => Some('u'),
            FlagsItemKind::Flag(Flag::CRLF) => Some('R'),
            _ => None,
        });
        unknown.map_or(Ok(()), |flag| Err(format!("bad pattern: Go knows no flag `{flag}`")))
    }
}

impl Visitor for Rewriter<'_> {
    type Output = Vec<(Span, &'static str)>;
    type Err = String;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.edits)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        match ast {
            Ast::Flags(flags) => Self::flags(&flags.flags)?,
            Ast::Group(group) => group.flags().map_or(Ok(()), Self::flags)?,
            Ast::ClassPerl(class) => self.perl_class(class),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::WordBoundary => self.edits.push((assertion.span, r"(?-u:\b)")),
                AssertionKind::NotWordBoundary => self.edits.push((assertion.span, r"(?-u:\B)")),
                // To Go these are the characters themselves.
                AssertionKind::WordBoundaryStartAngle => self.edits.push((assertion.span, "<")),
                AssertionKind::WordBoundaryEndAngle => self.edits.push((assertion.span, ">")),
                AssertionKind::WordBoundaryStart
                | AssertionKind::WordBoundaryEnd
                | AssertionKind::WordBoundaryStartHalf
                | AssertionKind::WordBoundaryEndHalf => {
                    return Err("Go reads `\\b{` as a word boundary and a brace".to_owned());
                }
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText => {}
            },
            Ast::Repetition(repetition) => {
                let span = repetition.op.span;
                let op = self.pattern.get(span.start.offset..span.end.offset);
                let is_range = matches!(
                    repetition.op.kind,
                    RepetitionKind::Range(RepetitionRange::Bounded(..))
                );
                if is_range && op.is_some_and(|op| op.starts_with("{,")) {
                    return Err("Go reads `{,` as the characters themselves".to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ClassSetItem::Perl(class) => {
                self.perl_class(class);
                Ok(())
            }
            ClassSetItem::Bracketed(_) => {
                Err("Go reads `[` inside of `[…]` as the character itself; `\\[` says so in both"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), Self::Err> {
        Err("Go reads `&&`, `--` and `~~` inside of `[…]` as the characters themselves".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::from_go;

    #[test]
    fn classes_are_those_of_ascii() {
        let rows = [
            (r"^\d+$", "12", "١٢"),
            (r"^\w+$", "a_1", "é"),
            (r"^\W$", "é", "a"),
            (r"^[\w.-]+$", "a.b-c", "a.é"),
            (r"^[^\s]$", "\u{b}", "\t"),
            (r"^\S$", "\u{a0}", " "),
            (r"\bfoo\b", "éfoo", "xfoo"),
            (r"^é\Bé$", "éé", "é é"),
            (r"^\<b\>$", "<b>", "b"),
            (r"^(?i)k\d$", "K1", "k١"),
            (r"^\p{Greek}+$", "αβγ", "abc"),
            ("^feat/", "feat/x", "fix/x"),
        ];
        for (pattern, matching, other) in rows {
            let rewritten = from_go(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            let regex = Regex::new(&rewritten).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert!(regex.is_match(matching), "{pattern} as {rewritten} and {matching:?}");
            assert!(!regex.is_match(other), "{pattern} as {rewritten} and {other:?}");
        }
    }

    #[test]
    fn patterns_that_both_read_alike_stay_unchanged() {
        for pattern in [r"^[a-z]+(\.[a-z]+)*$", "", "a|b", r"(?P<x>.)\x41[[:alpha:]]", "[]a]"] {
            assert_eq!(from_go(pattern).as_deref(), Ok(pattern));
        }
    }

    #[test]
    fn patterns_without_a_translation_are_refused() {
        for pattern in [
            "[a&&b]",
            "[a--b]",
            "[[a]]",
            "(?x) a",
            "(?u:a)",
            r"\b{start}a",
            "a{,3}",
            "a(",
            r"\Qa\E",
            r"(a)\1",
            "(?=a)",
        ] {
            assert!(from_go(pattern).is_err(), "{pattern}");
        }
    }
}
