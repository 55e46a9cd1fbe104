//! Text to tokens.

use super::Span;
use super::error::quoted;
use super::problem::{Step, misplaced_underscore, problem};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TokenKind {
    Number(f64),
    Name,
    Plus,
    Minus,
    Star,
    Slash,
    Power,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Comma,
    Tilde,
    End,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
}

/// Words that Python does not accept as names. A formula with one of them could not be written as a Python
/// expression, nor could its value be passed as a keyword argument.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

#[derive(Clone, Copy)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    position: usize,
}

impl<'t> Lexer<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, position: 0 }
    }

    /// The next token; [`TokenKind::End`] again and again at the end of the text.
    pub(super) fn next(&mut self) -> Step<Token> {
        let rest = &self.text[self.position..];
        let skipped = rest.trim_start();
        let start = self.position + (rest.len() - skipped.len());
        self.position = start;
        let mut chars = skipped.chars();
        let Some(first) = chars.next() else {
            return Ok(Token { kind: TokenKind::End, span: Span::new(start, start) });
        };
        let second = chars.next().unwrap_or('\0');
        let (kind, length) = match (first, second) {
            ('0'..='9', _) | ('.', '0'..='9') => return self.number(),
            _ if is_name_start(first) => return self.name(),
            ('*', '*') => (TokenKind::Power, 2),
            ('/', '/') => {
                return problem(Span::new(start, start + 2), "'//' is not an operator; '/' divides");
            }
            ('+', _) => (TokenKind::Plus, 1),
            ('-', _) => (TokenKind::Minus, 1),
            ('*', _) => (TokenKind::Star, 1),
            ('/', _) => (TokenKind::Slash, 1),
            ('(', _) => (TokenKind::Open, 1),
            (')', _) => (TokenKind::Close, 1),
            ('[', _) => (TokenKind::OpenBracket, 1),
            (']', _) => (TokenKind::CloseBracket, 1),
            (',', _) => (TokenKind::Comma, 1),
            ('~', _) => (TokenKind::Tilde, 1),
            _ => return self.unknown(first, second),
        };
        self.position = start + length;
        Ok(Token { kind, span: Span::new(start, self.position) })
    }

    fn name(&mut self) -> Step<Token> {
        let rest = &self.text[self.position..];
        let length = rest.find(|c| !is_name_continue(c)).unwrap_or(rest.len());
        let span = Span::new(self.position, self.position + length);
        let name = &rest[..length];
        if KEYWORDS.contains(&name) {
            let hint = if name == "lambda" { "; 'lambda_' is free" } else { "" };
            return problem(span, format!("{} is a reserved word of Python and cannot be a name{hint}", quoted(name)));
        }
        for (offset, c) in name.char_indices() {
            if let Some(canonical) = canonical(c) {
                let at = span.start + offset;
                let message = format!("'{c}' is a variant of '{canonical}', which Python takes instead: write that");
                return problem(Span::new(at, at + c.len_utf8()), message);
            }
        }
        self.position = span.end;
        Ok(Token { kind: TokenKind::Name, span })
    }

    /// A number as Python writes it: `12`, `1_000`, `1.`, `.5`, `6.02e+23`.
    fn number(&mut self) -> Step<Token> {
        let bytes = self.text.as_bytes();
        let start = self.position;
        if bytes[start] == b'0' && matches!(bytes.get(start + 1), Some(b'x' | b'X' | b'o' | b'O' | b'b' | b'B')) {
            return problem(Span::new(start, start + 2), "numbers are written in base ten");
        }
        let mut end = self.digits(start)?;
        let whole = end;
        if bytes.get(end) == Some(&b'.') {
            end += 1;
            if bytes.get(end) == Some(&b'_') {
                return misplaced_underscore(Span::new(end, end + 1));
            }
            end = self.digits(end)?;
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
                end = self.digits(end + 1 + sign)?;
            }
        }
        let span = Span::new(start, end);
        let digits = self.text[start..end].replace('_', "");
        if end == whole && digits.starts_with('0') && digits.bytes().any(|digit| digit != b'0') {
            return problem(span, format!("the whole number {} starts with a zero", quoted(&digits)));
        }
        let value: f64 = digits.parse().expect("digits, a point and an exponent are a number");
        if value.is_infinite() {
            return problem(span, format!("the number {} is too large", quoted(&digits)));
        }
        self.position = end;
        Ok(Token { kind: TokenKind::Number(value), span })
    }

    /// The end of the digits at `start`, which single underscores may separate.
    fn digits(&self, start: usize) -> Step<usize> {
        let bytes = self.text.as_bytes();
        let mut end = start;
        loop {
            match bytes.get(end) {
                Some(b'0'..=b'9') => end += 1,
                Some(b'_') if bytes.get(end + 1).is_some_and(u8::is_ascii_digit) => end += 2,
                Some(b'_') => return misplaced_underscore(Span::new(end, end + 1)),
                _ => return Ok(end),
            }
        }
    }

    fn unknown<T>(&self, first: char, second: char) -> Step<T> {
        let start = self.position;
        let mut length = first.len_utf8();
        let message = match (first, second) {
            ('^', _) => "'^' is not an operator; a power is written with '**'".into(),
            ('=' | '<' | '>' | '!', '=') => {
                length = 2;
                format!("a formula has no comparison '{first}='; the target is separated by '~'")
            }
            ('=', _) => "'=' is not an operator; the target is separated by '~', as in 'L ~ E + A/N**alpha'".into(),
            ('.', _) => "unexpected '.': functions and names are written without a module or table in front".into(),
            _ => match ascii_for(first) {
                Some(ascii) => format!("unknown character '{first}'; write '{ascii}'"),
                None => format!("unknown character '{}'", first.escape_debug()),
            },
        };
        problem(Span::new(start, start + length), message)
    }
}

fn is_name_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_name_continue(c: char) -> bool {
    is_name_start(c) || c.is_ascii_digit()
}

/// What Python reads instead of a compatibility letter. Accepting both would make two names of what Python and the
/// reader see as one.
fn canonical(c: char) -> Option<char> {
    Some(match c {
        '\u{b5}' => '\u{3bc}', // the micro sign and mu
        'ϐ' => 'β',
        'ϑ' => 'θ',
        'ϕ' => 'φ',
        'ϖ' => 'π',
        'ϰ' => 'κ',
        'ϱ' => 'ρ',
        'ϲ' => 'ς',
        'ϴ' => 'Θ',
        'ϵ' => 'ε',
        '\u{2126}' => '\u{3a9}', // the ohm sign and Omega
        'ℓ' => 'l',
        _ => return None,
    })
}

/// The operator or digit that a typeset character stands for, as it arrives in text copied from a paper.
fn ascii_for(c: char) -> Option<&'static str> {
    Some(match c {
        '−' | '–' | '—' => "-",
        '×' | '·' | '⋅' | '∗' | '•' => "*",
        '÷' | '∕' | '⁄' => "/",
        '²' => "**2",
        '³' => "**3",
        '√' => "sqrt",
        '∼' | '≈' => "~",
        _ => return None,
    })
}
