//! Enums whose values files and programs spell as words.

/// A value that has a word of its own; [`words!`] implements it.
pub trait Worded: Copy + PartialEq {
    /// The word for this value.
    fn word(self) -> &'static str;

    /// The value that a word stands for; the spelling must be exact.
    fn from_word(word: &str) -> Option<Self>;
}

/// Gives an enum one table of its words, which serves reading and writing alike: `WORDS`, `word` and `from_word`.
///
/// A variant without a word, or a word that stands twice, does not compile.
macro_rules! words {
    ($name:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $name {
            /// Every value with its word, in the order in which messages list them.
            pub const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];

            /// The word for this value.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// The value that a word stands for; the spelling must be exact.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl $crate::engine::text::words::Worded for $name {
            fn word(self) -> &'static str {
                $name::word(self)
            }

            fn from_word(word: &str) -> Option<Self> {
                $name::from_word(word)
            }
        }
    };
}

pub(crate) use words;
