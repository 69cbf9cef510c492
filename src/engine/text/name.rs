//! Names of tools, methods and keys: patterns (contract P2), and names that only look alike (contract P4, W3).

use std::borrow::Cow;

use icu_casemap::{CaseMapper, CaseMapperBorrowed};
use icu_normalizer::{ComposingNormalizer, ComposingNormalizerBorrowed};
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

use crate::engine::work::{TooCostly, Work, steps};

const CASE: CaseMapperBorrowed<'static> = CaseMapper::new();
const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizer::new_nfkc();

/// A name as a policy writes it: `*` stands for any run of characters, `?` for one, all else for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// No `*` or `?` in it.
    Exact(String),
    /// With `*` or `?`.
    Wild(String),
}

impl NamePattern {
    /// Reads a name or pattern; every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if text.contains(['*', '?']) {
            NamePattern::Wild(text.to_owned())
        } else {
            NamePattern::Exact(text.to_owned())
        }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            NamePattern::Exact(text) | NamePattern::Wild(text) => text,
        }
    }

    /// True if it has `*` or `?`.
    #[must_use]
    pub fn is_wild(&self) -> bool {
        matches!(self, NamePattern::Wild(_))
    }

    /// True if the pattern matches `name`; case matters.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        // This much work always suffices.
        self.matches_within(name, &mut Work::of(u64::MAX)).unwrap_or_default()
    }

    /// The same, within the work that is left.
    ///
    /// # Errors
    /// The work does not suffice.
    #[inline]
    pub fn matches_within(&self, name: &str, work: &mut Work) -> Result<bool, TooCostly> {
        match self {
            NamePattern::Exact(text) => {
                work.take(1)?;
                Ok(text == name)
            }
            NamePattern::Wild(text) => wild_match(text, name, work),
        }
    }
}

impl NamePattern {
    /// True if every name that `other` matches is matched by this one as well. May overlook that for patterns with
    /// several marks, and never claims it wrongly. Takes time proportional to the product of their lengths.
    #[must_use]
    pub fn covers(&self, other: &NamePattern) -> bool {
        let (NamePattern::Wild(wide), NamePattern::Wild(narrow)) = (self, other) else {
            return matches!(other, NamePattern::Exact(name) if self.matches(name));
        };
        let narrow: Vec<char> = narrow.chars().collect();
        // covered[j]: what is left of `wide` covers what is left of `narrow` from `j` on.
        let mut covered: Vec<bool> = narrow.iter().map(|_| false).collect();
        covered.push(true);
        for w in wide.chars().rev() {
            // The end of `narrow` is covered by stars only.
            let mut behind = covered.last().copied().unwrap_or_default();
            let mut next = behind && w == '*';
            if let Some(end) = covered.last_mut() {
                *end = next;
            }
            for (place, &n) in covered.iter_mut().zip(&narrow).rev() {
                let here = *place;
                *place = match w {
                    '*' => here || next,
                    '?' => n != '*' && behind,
                    _ => n == w && behind,
                };
                next = *place;
                behind = here;
            }
        }
        covered.first().copied().unwrap_or_default()
    }
}

/// Takes time proportional to `pattern × name` at worst: after a mismatch only the last `*` is tried again.
fn wild_match(pattern: &str, name: &str, work: &mut Work) -> Result<bool, TooCostly> {
    /// Steps for a look at one character.
    const LOOK: u64 = 4;
    let most = work.left() / LOOK;
    let mut looks: u64 = 0;
    let mut pattern = pattern.chars();
    let mut name = name.chars();
    // What to go back to: the pattern behind the last `*`, and the name from which that star is to end later.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    let found = loop {
        looks = looks.saturating_add(1);
        if looks > most {
            break false;
        }
        let mut ahead = pattern.clone();
        match (ahead.next(), name.clone().next()) {
            (Some('*'), _) => {
                retry = Some((ahead.clone(), name.clone()));
                pattern = ahead;
                continue;
            }
            (Some(p), Some(n)) if p == '?' || p == n => {
                pattern = ahead;
                name.next();
                continue;
            }
            (None, None) => break true,
            _ => {}
        }
        let Some((behind_star, from)) = &mut retry else { break false };
        if from.next().is_none() {
            break false;
        }
        pattern = behind_star.clone();
        name = from.clone();
    };
    work.take(looks.saturating_mul(LOOK))?;
    Ok(found)
}

/// More visible characters than this are not folded: compatibility characters grow up to 18-fold.
const MAX_VISIBLE: usize = 1024;

/// The same in bytes, with all that is not visible: each character has to be looked up.
const MAX_BYTES: usize = 256 * 1024;

/// True if `name` is too long to be folded, so that nobody can say what it looks like.
#[must_use]
pub fn is_beyond_folding(name: &str) -> bool {
    !name.is_ascii() && (name.len() > MAX_BYTES || visible(name).nth(MAX_VISIBLE).is_some())
}

/// True if `name` is beyond folding though little of it may be visible.
#[must_use]
pub fn is_mostly_hidden(name: &str) -> bool {
    !name.is_ascii() && name.len() > MAX_BYTES
}

/// The characters of a name that a reader can see, and white space inside it.
fn visible(name: &str) -> impl Iterator<Item = char> {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    name.trim().chars().filter(move |&c| !c.is_control() && !ignorable.contains(c))
}

/// Steps for [`is_beyond_folding`] and [`fold`] together, at most.
#[must_use]
pub fn folding_work(name: &str) -> u64 {
    /// For a character that is looked up, and for one that is seen: it may become 18 others, several times over.
    const LOOK_UP: u64 = 40;
    const FOLD: u64 = 2500;
    let bytes = steps(name.len());
    if name.is_ascii() {
        return bytes.saturating_mul(4);
    }
    let seen = bytes.min(steps(MAX_VISIBLE.saturating_mul(4)));
    bytes.saturating_mul(LOOK_UP).saturating_add(seen.saturating_mul(FOLD / 4))
}

/// What a name looks like to a careless reader: NFKC, full case folding, no control or default-ignorable
/// characters, no white space around it (contract P4). Names with one fold are confusable.
#[must_use]
pub fn fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return fold_ascii(name);
    }
    let visible: String = visible(name).take(MAX_VISIBLE).collect();
    // Folding can undo normal form and the other way round; the second round settles it.
    let once = NFKC.normalize(CASE.fold_string(&NFKC.normalize(&visible)).as_ref()).into_owned();
    let twice = NFKC.normalize(CASE.fold_string(&once).as_ref()).into_owned();
    let clean: String = self::visible(&twice).collect();
    Cow::Owned(clean.trim().to_owned())
}

fn fold_ascii(name: &str) -> Cow<'_, str> {
    let trimmed = name.trim();
    if trimmed.bytes().all(|b| !b.is_ascii_uppercase() && !b.is_ascii_control()) {
        return Cow::Borrowed(trimmed);
    }
    let visible: String = trimmed.chars().filter(|c| !c.is_ascii_control()).collect();
    Cow::Owned(visible.trim().to_ascii_lowercase())
}

/// True if two keys are the same but for case, as Go's `encoding/json` compares them, or any wider folding
/// of Unicode: `ID`, `id`; `ſ`, `s`; the Kelvin sign, `k`.
#[must_use]
pub fn same_but_for_case(a: &str, b: &str) -> bool {
    /// A character takes one to four bytes and folds to one, two or three: names of very different lengths are
    /// never equal.
    const WIDEST: usize = 12;
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    if a.len() > b.len().saturating_mul(WIDEST) || b.len() > a.len().saturating_mul(WIDEST) {
        return false;
    }
    CASE.fold_string(a) == CASE.fold_string(b)
}

/// The name or pattern that is left of one with the prefix that Claude Code and others put before the names of
/// tools, `mcp__SERVER__`; `*` for `mcp__SERVER`, which stands for all of them.
#[must_use]
pub fn without_client_prefix(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("mcp__").filter(|rest| !rest.is_empty())?;
    match rest.split_once("__") {
        Some((server, tool)) => Some(tool).filter(|tool| !server.is_empty() && !tool.is_empty()),
        None => Some("*"),
    }
}

#[cfg(test)]
mod tests {
    use super::{NamePattern, fold, is_beyond_folding, same_but_for_case};

    #[test]
    fn patterns_match_whole_names() {
        let rows = [
            ("*", "", true),
            ("*", "anything", true),
            ("?", "", false),
            ("?", "é", true),
            ("delete_*", "delete_", true),
            ("delete_*", "Delete_x", false),
            ("*_file", "read_file_file", true),
            ("*_file", "read_files", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a?c", "abbc", false),
            ("**a**", "bab", true),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(NamePattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
        let hostile = NamePattern::new("*a*a*a*a*a*a*a*a*a*b");
        assert!(!hostile.matches(&"a".repeat(20_000)));
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        let rows = [
            ("*", "a*b?c", true),
            ("a*", "a", true),
            ("a*", "ab*", true),
            ("ab*", "a*", false),
            ("a?", "a*", false),
            ("a*", "a?", true),
            ("?*", "a", true),
            ("*_x", "a_*_x", true),
            ("*_x", "a_*", false),
            ("a*c", "a*b*c", true),
            ("a", "a", true),
            ("a", "?", false),
            ("?", "a", true),
            ("??", "*", false),
            ("*a*", "bab", true),
            ("*a*", "b?b", false),
        ];
        for (wide, narrow, expected) in rows {
            let covers = NamePattern::new(wide).covers(&NamePattern::new(narrow));
            assert_eq!(covers, expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn names_that_look_alike_have_one_fold() {
        let alike = [
            "delete",
            "DELETE",
            " delete\t",
            "de\u{200D}lete",
            "ｄｅｌｅｔｅ",
            "de\u{AD}lete",
            "\u{0}delete",
        ];
        for name in alike {
            assert_eq!(fold(name), "delete", "{name:?}");
        }
        assert_eq!(fold("\u{212A}ey"), "key");
        assert_eq!(fold("li\u{17F}t"), "list");
        assert_eq!(fold("ﬁle"), "file");
        assert_ne!(fold("delete_"), "delete");
    }

    #[test]
    fn only_visible_characters_make_a_name_long() {
        assert!(!is_beyond_folding(&format!("{}delete", "\u{200D}".repeat(10_000))));
        assert_eq!(fold(&format!("{}delete", "\u{200D}".repeat(10_000))), "delete");
        assert!(!is_beyond_folding(&"é".repeat(1024)));
        assert!(is_beyond_folding(&"é".repeat(1025)));
        assert!(!is_beyond_folding(&"e".repeat(100_000)));
    }

    #[test]
    fn keys_fold_as_go_folds_them() {
        assert!(same_but_for_case("requestState", "reque\u{17F}t\u{17F}tate"));
        assert!(same_but_for_case("to\u{212A}en", "token"));
        assert!(!same_but_for_case("na me", "name"));
    }
}
