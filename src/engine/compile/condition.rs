//! Reads the entries of `require`, `deny_if` and `approval_if` (contract 3.3).

use super::Compiler;
use super::fields::{Fields, Node, boolean, elements, string, word_or};
use super::hints;
use super::shape::{CONDITION, Shape};
use crate::engine::json::value::{Kind, Str};
use crate::engine::policy::condition::{Bound, Condition, Operator, Scalar, Test};
use crate::engine::policy::one_of::OneOf;
use crate::engine::policy::path::ArgPath;
use crate::engine::policy::pattern::{Pattern, PatternError};
use crate::engine::policy::{Clause, ClauseList};

impl Compiler<'_> {
    /// The entries of one of these lists.
    pub(super) fn clauses(
        &mut self,
        fields: &Fields<'_>,
        list: ClauseList,
        shape: Shape,
    ) -> Vec<Clause> {
        self.list(fields, list.word(), |this, node| this.clause(node, shape))
    }

    fn clause(&mut self, node: &Node<'_>, shape: Shape) -> Option<Clause> {
        self.is_over = self.is_over || (self.is_stale)();
        if self.is_over {
            return None;
        }
        let fields = Fields::open(node, shape, &mut self.problems)?;
        let [_, message] = shape.fields else { return None };
        let words = self.optional(&fields, message, |this, node| string(node, &mut this.problems));
        let help = "a list of `{\"path\", \"op\", \"value\"}`";
        let list = fields.require("conditions", help, &mut self.problems)?;
        let nodes = elements(&list, &mut self.problems);
        let conditions = nodes.iter().filter_map(|node| self.condition(node)).collect();
        Some(Clause { pointer: node.pointer.as_str().into(), conditions, message: words })
    }

    fn condition(&mut self, node: &Node<'_>) -> Option<Condition> {
        let fields = Fields::open(node, CONDITION, &mut self.problems)?;
        let help = "where to look, such as `args.width`";
        let path = fields.require("path", help, &mut self.problems);
        let path = path.and_then(|node| self.path(&node));
        let op = fields.require("op", "an operator such as `eq`", &mut self.problems);
        let value = fields.require("value", "what to compare with", &mut self.problems);
        let text = value.as_ref().and_then(|node| node.value.as_str()).and_then(Str::decode);
        let hint = |op: &str| {
            hints::operator(op)
                .map(str::to_owned)
                .or_else(|| hints::no_operator(op, text.as_deref()))
        };
        let op = op.and_then(|node| word_or(&node, Operator::WORDS, hint, &mut self.problems))?;
        let test = value.and_then(|node| self.test(op, &node))?;
        Some(Condition { path: path?, test })
    }

    pub(super) fn path(&mut self, node: &Node<'_>) -> Option<ArgPath> {
        let text = string(node, &mut self.problems)?;
        let parsed = ArgPath::parse(&text);
        let help = || Some(format!("did you mean `{}`?", hints::path(&text)?));
        parsed.map_err(|error| self.problems.add(node, error.message, help())).ok()
    }

    fn test(&mut self, op: Operator, node: &Node<'_>) -> Option<Test> {
        Some(match op {
            Operator::Eq => Test::Equal(self.scalar(node)?),
            Operator::Neq => Test::NotEqual(self.scalar(node)?),
            Operator::Contains => Test::Contains(self.scalar(node)?),
            Operator::Lt => Test::Less(self.bound(node)?),
            Operator::Lte => Test::AtMost(self.bound(node)?),
            Operator::Gt => Test::Greater(self.bound(node)?),
            Operator::Gte => Test::AtLeast(self.bound(node)?),
            Operator::In => Test::In(OneOf::new(self.scalars(node)?)),
            Operator::NotIn => Test::NotIn(OneOf::new(self.scalars(node)?)),
            Operator::Exists => Test::Exists(boolean(node, &mut self.problems)?),
            Operator::Regex => Test::Regex(self.pattern(node)?),
        })
    }

    fn pattern(&mut self, node: &Node<'_>) -> Option<Pattern> {
        let text = string(node, &mut self.problems)?;
        if let Some(pattern) = self.patterns.get(&text) {
            return Some(pattern.clone());
        }
        let error = match Pattern::new(&text, &mut self.allowance) {
            Ok(pattern) => {
                self.patterns.insert(text, pattern.clone());
                return Some(pattern);
            }
            Err(error) => error,
        };
        let (message, help) = match error {
            PatternError::Syntax(error) => {
                // The last line says what is wrong; those before it draw the pattern.
                let cause = error.lines().last().unwrap_or_default();
                let message = format!("bad pattern: {}", cause.trim_start_matches("error: "));
                let help = "the syntax is that of Rust's regex: no look-around, no back-references";
                (message, Some(help))
            }
            PatternError::TooLarge => {
                let help = "a repetition such as `.{1000}` counts for each time, and `\\w` for all its letters";
                ("bad pattern: it takes more than 8 MiB when compiled".to_owned(), Some(help))
            }
            // Said once: each further pattern would say it again.
            PatternError::TooMany if self.has_too_many => return None,
            PatternError::TooMany => {
                self.has_too_many = true;
                ("the patterns of this policy take too much memory together".to_owned(), None)
            }
        };
        self.problems.add(node, message, help.map(str::to_owned));
        None
    }

    fn scalars(&mut self, node: &Node<'_>) -> Option<Vec<Scalar>> {
        let nodes = elements(node, &mut self.problems);
        if nodes.is_empty() {
            if matches!(node.value.kind(), Kind::Array) {
                self.problems.add(node, "an empty list matches nothing", None);
            }
            return None;
        }
        let scalars: Vec<_> = nodes.iter().map(|node| self.scalar(node)).collect();
        scalars.into_iter().collect()
    }

    fn scalar(&mut self, node: &Node<'_>) -> Option<Scalar> {
        match node.value.kind() {
            Kind::Null => Some(Scalar::Null),
            Kind::Bool(value) => Some(Scalar::Bool(value)),
            Kind::Number(number) => Some(Scalar::Number(number.text().to_owned())),
            Kind::String(_) => string(node, &mut self.problems).map(Scalar::String),
            Kind::Array | Kind::Object => {
                let is_list = matches!(node.value.kind(), Kind::Array);
                let help = is_list.then(|| "`in` and `not_in` compare with a list".to_owned());
                let expected = "a string, a number, `true`, `false` or `null`";
                self.problems.wrong_type_with(node, expected, help);
                None
            }
        }
    }

    fn bound(&mut self, node: &Node<'_>) -> Option<Bound> {
        match node.value.kind() {
            Kind::Number(number) => Some(Bound::Number(number.text().to_owned())),
            Kind::String(_) => string(node, &mut self.problems).map(Bound::String),
            Kind::Null | Kind::Bool(_) | Kind::Array | Kind::Object => {
                self.problems.wrong_type(node, "a number or a string");
                None
            }
        }
    }
}
