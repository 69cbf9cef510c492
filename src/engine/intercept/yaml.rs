//! Reads YAML into a tree whose values know their places. What two readers of YAML could take differently is a problem,
//! and the tree is never larger or deeper than a policy can be.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::problems::{YamlPlace, YamlProblems};
use crate::engine::compile::fields::name_for_problem;

/// The deepest nesting of lists and maps; a policy needs nine levels.
const MAX_DEPTH: usize = 64;

/// The most values; an alias counts as often as its values.
const MAX_VALUES: usize = 200_000;

/// A value with its place.
#[derive(Debug)]
pub(crate) struct YamlNode {
    /// Where it stands, in bytes from the start of the file.
    pub(crate) span: Range<usize>,
    /// What it is.
    pub(crate) value: YamlValue,
    /// The number of its values, itself and aliases included.
    weight: usize,
    /// The number of levels below it.
    height: usize,
}

/// What a node is. Aliases have been followed.
#[derive(Debug)]
pub(crate) enum YamlValue {
    /// Text, a number, a word.
    Scalar(YamlScalar),
    /// `- a`
    List(Vec<Rc<YamlNode>>),
    /// `a: b`; each key is a scalar that stands once.
    Map(Vec<(Rc<YamlNode>, Rc<YamlNode>)>),
}

/// What is neither list nor map.
#[derive(Debug)]
pub(crate) struct YamlScalar {
    /// The text without its quotes.
    pub(crate) text: String,
    /// True if it has no quotes, and so may be a number or a word such as `true`.
    pub(crate) is_plain: bool,
}

/// Reads a file of one document.
pub(crate) fn read(text: &str, problems: &mut YamlProblems) -> Option<Rc<YamlNode>> {
    let mut reader = YamlReader {
        offsets: Offsets::new(text),
        open: Vec::new(),
        anchored: HashMap::new(),
        root: None,
        documents: 0,
        values: 0,
        problems,
    };
    for event in Parser::new_from_str(text) {
        let read = match event {
            Ok((event, span)) => reader.event(event, span),
            Err(error) => {
                let at = reader.offsets.byte(error.marker().index());
                Err(YamlFault {
                    span: at..at,
                    message: format!("this is no YAML: {}", error.info()),
                })
            }
        };
        if let Err(YamlFault { span, message }) = read {
            reader.problems.add(&YamlPlace::at(span), message, None);
            return None;
        }
    }
    reader.root
}

/// Why a file cannot be read any further.
struct YamlFault {
    span: Range<usize>,
    message: String,
}

struct YamlReader<'t, 'p> {
    offsets: Offsets<'t>,
    /// Lists and maps that have begun, the outermost first.
    open: Vec<OpenNode>,
    /// Values that have an anchor, by its number.
    anchored: HashMap<usize, Rc<YamlNode>>,
    root: Option<Rc<YamlNode>>,
    documents: usize,
    /// The number of values so far, without those of aliases.
    values: usize,
    problems: &'p mut YamlProblems,
}

/// A list or map that has begun.
struct OpenNode {
    start: Range<usize>,
    anchor: usize,
    is_map: bool,
    /// The elements; in a map, keys and values by turns.
    children: Vec<Rc<YamlNode>>,
}

impl YamlReader<'_, '_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlFault> {
        let start = self.offsets.byte(span.start.index());
        let end = self.offsets.byte(span.end.index());
        // The parser includes white space after a token.
        let written = self.offsets.text.get(start..end).unwrap_or_default().trim_end();
        let span = start..start.saturating_add(written.len());
        match event {
            Event::DocumentStart(_) => {
                self.documents = self.documents.saturating_add(1);
                if self.documents > 1 {
                    let message =
                        "a second document begins here, and Intercept reads the first one only";
                    return Err(YamlFault::new(span, message));
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchored.get(&anchor).cloned() else {
                    return Err(YamlFault::new(
                        span,
                        "this alias stands in the value that it means",
                    ));
                };
                self.attach(node, &span)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = self.tag(tag.as_deref(), &span);
                let is_plain = style == ScalarStyle::Plain && !is_text;
                let span = if text.is_empty() && is_plain { start..start } else { span };
                let scalar = YamlScalar { text: text.into_owned(), is_plain };
                self.finish(YamlNode::new(span.clone(), YamlValue::Scalar(scalar)), anchor, &span)?;
            }
            Event::SequenceStart(anchor, tag) => self.begin(span, anchor, false, tag.as_deref())?,
            Event::MappingStart(anchor, tag) => self.begin(span, anchor, true, tag.as_deref())?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(OpenNode { start, anchor, is_map, children }) = self.open.pop() {
                    let value = if is_map { self.map(children) } else { YamlValue::List(children) };
                    self.finish(YamlNode::new(start, value), anchor, &span)?;
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        start: Range<usize>,
        anchor: usize,
        is_map: bool,
        tag: Option<&Tag>,
    ) -> Result<(), YamlFault> {
        self.tag(tag, &start);
        if self.open.len() >= MAX_DEPTH {
            return Err(YamlFault::too_deep(start));
        }
        self.open.push(OpenNode { start, anchor, is_map, children: Vec::new() });
        Ok(())
    }

    /// True if the tag marks text. Any other tag is a problem, because readers differ about its meaning.
    fn tag(&mut self, tag: Option<&Tag>, span: &Range<usize>) -> bool {
        let Some(tag) = tag else { return false };
        let is_text = tag.is_yaml_core_schema() && tag.suffix == "str";
        if !is_text {
            let message = format!("a tag, `{}`", name_for_problem(&tag.suffix));
            let help = "leave it out; text that looks like something else stands in quotes";
            self.problems.add(&YamlPlace::at(span.clone()), message, Some(help));
        }
        is_text
    }

    fn map(&mut self, children: Vec<Rc<YamlNode>>) -> YamlValue {
        let mut members = Vec::new();
        let mut seen = HashSet::new();
        let mut children = children.into_iter();
        while let (Some(key), Some(value)) = (children.next(), children.next()) {
            let place = YamlPlace::at(key.span.clone());
            let Some(text) = key.text() else {
                self.problems.add(&place, "a key is text", None);
                continue;
            };
            if text == "<<" {
                let help =
                    "write the fields out where they are meant; an alias for a whole value is read";
                self.problems.add(&place, "a merge key", Some(help));
            } else if !seen.insert(text.to_owned()) {
                let message = format!("duplicate key `{}`", name_for_problem(text));
                self.problems.add(&place, message, Some("each key stands once in a map"));
            } else {
                members.push((Rc::clone(&key), value));
            }
        }
        YamlValue::Map(members)
    }

    /// Takes a value that ends with `end`.
    fn finish(
        &mut self,
        node: YamlNode,
        anchor: usize,
        end: &Range<usize>,
    ) -> Result<(), YamlFault> {
        let node = Rc::new(node);
        if anchor > 0 {
            self.anchored.insert(anchor, Rc::clone(&node));
        }
        self.attach(node, end)
    }

    /// Adds a value to the list or map around it. `span` is the value, an alias for it, or its end.
    fn attach(&mut self, node: Rc<YamlNode>, span: &Range<usize>) -> Result<(), YamlFault> {
        self.values = self.values.saturating_add(1);
        if self.values.max(node.weight) > MAX_VALUES {
            let message = format!("up to here, there are more than {MAX_VALUES} values");
            return Err(YamlFault { span: span.clone(), message });
        }
        if self.open.len().saturating_add(node.height) > MAX_DEPTH {
            return Err(YamlFault::too_deep(span.clone()));
        }
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }
}

impl YamlFault {
    fn new(span: Range<usize>, message: &str) -> Self {
        YamlFault { span, message: message.to_owned() }
    }

    fn too_deep(span: Range<usize>) -> Self {
        YamlFault { span, message: format!("nested deeper than {MAX_DEPTH} levels") }
    }
}

impl YamlNode {
    fn new(span: Range<usize>, value: YamlValue) -> Self {
        let mut weight = 1_usize;
        let mut height = 0_usize;
        let mut contain = |child: &Rc<YamlNode>| {
            weight = weight.saturating_add(child.weight);
            height = height.max(child.height.saturating_add(1));
        };
        match &value {
            YamlValue::Scalar(_) => {}
            YamlValue::List(elements) => elements.iter().for_each(contain),
            YamlValue::Map(members) => members.iter().for_each(|(key, value)| {
                contain(key);
                contain(value);
            }),
        }
        YamlNode { span, value, weight, height }
    }

    /// The text of a scalar, as it would be without quotes.
    #[must_use]
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            YamlValue::Scalar(scalar) => Some(&scalar.text),
            YamlValue::List(_) | YamlValue::Map(_) => None,
        }
    }

    /// True for nothing at all, `~` and `null`.
    #[must_use]
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, YamlValue::Scalar(scalar) if scalar.is_null())
    }

    /// True for `[]`.
    #[must_use]
    pub(crate) fn is_empty_list(&self) -> bool {
        matches!(&self.value, YamlValue::List(elements) if elements.is_empty())
    }

    /// What it is, for a message.
    #[must_use]
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            YamlValue::Scalar(scalar) if scalar.is_null() => "null".to_owned(),
            YamlValue::Scalar(YamlScalar { text, is_plain: true }) => {
                format!("`{}`", name_for_problem(text))
            }
            YamlValue::Scalar(YamlScalar { text, .. }) => {
                format!("the text `{}`", name_for_problem(text))
            }
            YamlValue::List(_) => "a list".to_owned(),
            YamlValue::Map(_) => "a map".to_owned(),
        }
    }
}

impl YamlScalar {
    /// True for nothing at all, `~` and `null`.
    #[must_use]
    pub(crate) fn is_null(&self) -> bool {
        self.is_plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// `true` or `false`. Intercept's reader takes `yes`, `on` and the like for text.
    #[must_use]
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.is_plain => Some(true),
            "false" | "False" | "FALSE" if self.is_plain => Some(false),
            _ => None,
        }
    }
}

/// Converts the offsets of the parser, which are characters, to bytes.
struct Offsets<'t> {
    text: &'t str,
    /// Where each [`Offsets::STEP`]th character begins; none if characters are bytes.
    marks: Vec<usize>,
}

impl<'t> Offsets<'t> {
    const STEP: usize = 256;

    fn new(text: &'t str) -> Self {
        let marks = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().step_by(Self::STEP).map(|(at, _)| at).collect()
        };
        Offsets { text, marks }
    }

    /// Where the character of this number begins.
    fn byte(&self, chars: usize) -> usize {
        if self.marks.is_empty() {
            return chars.min(self.text.len());
        }
        let mark = chars.checked_div(Self::STEP).and_then(|nth| self.marks.get(nth));
        let Some(&mark) = mark else { return self.text.len() };
        let rest = self.text.get(mark..).unwrap_or_default();
        let left = chars.checked_rem(Self::STEP).unwrap_or_default();
        let within = rest.char_indices().nth(left).map_or(rest.len(), |(at, _)| at);
        mark.saturating_add(within)
    }
}
