//! Patterns and case folding of names (contract P2, P4, W3).

use callgate::engine::text::name::{NamePattern, fold, same_but_for_case};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use proptest::proptest;
use proptest::sample::select;

/// Characters that change when a string is normalised, folded or cleaned.
const RESTLESS: [char; 48] = [
    ' ', '\t', '\u{a0}', '\u{3000}', '\u{85}', '\u{200b}', '\u{200d}', '\u{ad}', '\u{34f}',
    '\u{feff}', '\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}', '\u{180e}', '\u{2028}', '\u{300}',
    '\u{301}', '\u{323}', '\u{345}', '\u{308}', '\u{327}', '\u{1161}', '\u{11a8}', '\u{3099}',
    '\u{ff9e}', 'a', 'A', 'e', 'I', 'İ', 'ı', 'ß', 'ẞ', 'ſ', '\u{212a}', '\u{212b}', 'ﬁ', 'ﬃ', 'ŉ',
    'ΐ', 'ᾳ', 'ᾼ', '´', '\u{1100}', '가', 'カ', 'ｶ',
];

fn restless_text() -> impl Strategy<Value = String> {
    let any_char = prop_oneof![4 => select(&RESTLESS[..]), 1 => any::<char>()];
    vec(any_char, 0..8).prop_map(String::from_iter)
}

/// contract P2, transcribed.
fn matches(pattern: &[char], name: &[char]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some(('*', rest)) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        Some((c, rest)) => name
            .split_first()
            .is_some_and(|(n, behind)| (*c == '?' || c == n) && matches(rest, behind)),
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(2000))]

    /// contract P2: `*` matches any run of characters, `?` one character, all others themselves.
    #[test]
    fn patterns_match_as_a_naive_matcher_does(pattern in "[ab*?é]{0,7}", name in "[abé]{0,8}") {
        let chars = |text: &str| text.chars().collect::<Vec<char>>();
        let expected = matches(&chars(&pattern), &chars(&name));
        prop_assert_eq!(NamePattern::new(&pattern).matches(&name), expected);
    }

    /// A pattern that covers another one matches everything that the other matches.
    #[test]
    fn a_pattern_matches_everything_that_it_covers(
        wide in "[ab*?]{0,5}",
        narrow in "[ab*?]{0,5}",
        name in "[ab]{0,6}",
    ) {
        let (wide, narrow) = (NamePattern::new(&wide), NamePattern::new(&narrow));
        let escapes = narrow.matches(&name) && !wide.matches(&name);
        prop_assert!(!(wide.covers(&narrow) && escapes));
    }

    /// contract P4: folding a folded name changes nothing.
    #[test]
    fn folding_twice_is_folding_once(name in restless_text()) {
        let once = fold(&name).into_owned();
        prop_assert_eq!(fold(&once).into_owned(), once);
    }

    /// contract P4: case, width and invisible characters do not distinguish names.
    #[test]
    fn a_disguised_name_has_the_same_fold(name in "[a-z_]{1,8}", disguise in vec(0..5_u8, 8)) {
        let disguised: String = name.chars().zip(disguise).flat_map(|(c, how)| match how {
            0 => vec![c.to_ascii_uppercase()],
            1 => vec!['\u{200d}', c],
            2 => vec![c, '\u{1}'],
            3 => vec![char::from_u32(u32::from(c) + 0xFEE0).unwrap_or(c)],
            _ => vec![c],
        }).collect();
        prop_assert!(fold(&disguised) == fold(&name), "{disguised:?}");
        let padded = format!(" \u{3000}{disguised}\t ");
        prop_assert!(fold(&padded) == fold(&name), "{padded:?}");
    }
}

/// contract W3: keys that differ by the case of one character are the same for some server. The dotless `ı` is not such
/// a character: its capital is `I`, but neither Go nor Unicode folds one to the other.
#[test]
fn letters_of_both_cases_are_the_same_but_for_case() {
    let alone = |mut chars: std::char::ToLowercase| chars.next().filter(|_| chars.next().is_none());
    let letters = ('\0'..=char::MAX).filter(|c| c.is_alphabetic() && *c != 'ı');
    let mut pairs = 0;
    for letter in letters {
        let mut upper = letter.to_uppercase();
        let upper = upper.next().filter(|_| upper.next().is_none());
        for other in [alone(letter.to_lowercase()), upper].into_iter().flatten() {
            pairs += u32::from(other != letter);
            assert!(same_but_for_case(&letter.to_string(), &other.to_string()), "{letter} {other}");
        }
    }
    assert!(pairs > 2000, "only {pairs} pairs");
}
