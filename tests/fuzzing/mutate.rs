//! Mutations of inputs, reproducible by their seed.

/// The longest input, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// Fragments that are likely to expose faults.
const WORDS: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\n",
    "\r\n",
    "\r",
    "\0",
    " ",
    "null",
    "true",
    "-0",
    "1e400",
    "0.1",
    "1.0",
    "9007199254740993",
    "\\u0000",
    "\\ud800",
    "\\u212a",
    "\u{212a}",
    "ſ",
    "\u{feff}",
    "\u{ff}",
    "*",
    "?",
    "\"id\":1",
    "\"ID\":1",
    "\"id\":\"1\"",
    "\"method\":\"x\"",
    "\"tools/call\"",
    "\"params\":{}",
    "\"result\":{}",
    "\"name\":\"a\"",
    "\"arguments\":{}",
    "\nc",
    "\ns",
];

/// A source of mutated inputs.
pub(super) struct Mutator {
    state: u64,
}

impl Mutator {
    pub(super) fn new(seed: u64) -> Self {
        Mutator { state: seed }
    }

    /// One of `inputs` with a few mutations.
    pub(super) fn change(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.pick(inputs).clone();
        for _ in 0..=self.below(6) {
            self.change_once(&mut input, inputs);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn change_once(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let (from, to) = (self.below(input.len() + 1), self.below(input.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        // Most changes are small.
        let near = to.min(from + 1 + self.below(16)).max(from);
        match self.below(9) {
            0 if from < input.len() => input[from] ^= 1 << self.below(8),
            1 if from < input.len() => input[from] = u8::try_from(self.below(256)).unwrap_or(0),
            2 => drop(input.drain(from..near)),
            3 => drop(input.drain(from..to)),
            4 => insert(input, from, self.pick(&WORDS).as_bytes()),
            5 => {
                let again = input[from..near].to_vec();
                insert(input, near, &again.repeat(1 + self.below(40)));
            }
            6 => {
                let line = line_around(input, from).to_vec();
                insert(input, to, &[b"\n", line.as_slice()].concat());
            }
            7 => {
                let other = self.pick(inputs);
                let start = self.below(other.len() + 1);
                let end = other.len().min(start + 1 + self.below(200));
                input.splice(from..near, other[start..end].iter().copied());
            }
            _ => {
                let other: &Vec<u8> = self.pick(inputs);
                let line = line_around(other, self.below(other.len() + 1));
                insert(input, from, &[b"\n", line, b"\n"].concat());
            }
        }
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    fn below(&mut self, end: usize) -> usize {
        // SplitMix64: <https://prng.di.unimi.it/splitmix64.c>
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        usize::try_from(bits % end as u64).unwrap_or(0)
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if input.len() + bytes.len() <= MAX_BYTES {
        input.splice(at..at, bytes.iter().copied());
    }
}

/// The line around the byte at `at`.
fn line_around(input: &[u8], at: usize) -> &[u8] {
    let at = at.min(input.len());
    let is_end = |byte: &u8| *byte == b'\n';
    let start = input[..at].iter().rposition(is_end).map_or(0, |end| end + 1);
    let end = input[at..].iter().position(is_end).map_or(input.len(), |end| at + end);
    &input[start..end]
}
