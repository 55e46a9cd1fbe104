//! Errors that point at the place in the formula.

use super::Span;
use std::fmt::Write;

/// Longest source line that is shown, in characters with its indentation.
const SHOWN: usize = 100;
const INDENT: &str = "    ";
const CUT: &str = "...";

/// What is wrong with a formula, and where.
///
/// Displayed, it is the message with its position, the line of the formula (cut around the place when long), and a
/// line of carets under the place:
///
/// ```
/// # use scalinglaws_core::formula::Formula;
/// let error = Formula::parse("L ~ E + A/N^alpha").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "'^' is not an operator; a power is written with '**' (column 12)\n    \
///          L ~ E + A/N^alpha\n               ^"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.render())]
pub struct FormulaError {
    message: String,
    text: String,
    span: Span,
}

impl FormulaError {
    /// An error about `span` of the formula `text`. Bounds that are outside `text` or inside a character are moved.
    pub fn new(message: impl Into<String>, text: impl Into<String>, span: Span) -> Self {
        let text = text.into();
        let start = boundary(&text, span.start);
        let end = boundary(&text, span.end).max(start);
        Self { message: message.into(), text, span: Span { start, end } }
    }

    /// What is wrong, in one sentence without the position.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The formula.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of [`text`](Self::text) that the error is about; empty at the end of the text.
    pub const fn span(&self) -> Span {
        self.span
    }

    /// The line of the formula on which the span starts, counted from 1.
    pub fn line(&self) -> usize {
        1 + self.text[..self.span.start].matches('\n').count()
    }

    /// The character of its line at which the span starts, counted from 1.
    pub fn column(&self) -> usize {
        1 + self.text[self.line_start()..self.span.start].chars().count()
    }

    fn line_start(&self) -> usize {
        self.text[..self.span.start].rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn render(&self) -> String {
        let line_start = self.line_start();
        let line_end = self.text[self.span.start..].find('\n').map_or(self.text.len(), |i| self.span.start + i);
        let line: Vec<char> = self.text[line_start..line_end].chars().collect();
        let before = self.column() - 1;
        let marked_end = self.span.end.min(line_end).max(self.span.start);
        let marked = self.text[self.span.start..marked_end].trim_end().chars().count().max(1);

        // The part of the line that is shown: all of it, or a window that starts some way before the place.
        let width = SHOWN - INDENT.len();
        let first = if line.len() <= width { 0 } else { before.saturating_sub(width / 3).min(line.len() - width) };
        let last = line.len().min(first + width);
        let mut shown: Vec<char> = line[first..last].to_vec();
        if first > 0 {
            shown.splice(..CUT.len(), CUT.chars());
        }
        if last < line.len() {
            shown.splice(width - CUT.len().., CUT.chars());
        }
        let carets = marked.min((first + width).saturating_sub(before).max(1));

        let mut out = self.message.clone();
        let (column, number) = (before + 1, self.line());
        let _ = if self.text.trim_end().contains('\n') {
            write!(out, " (line {number}, column {column})")
        } else {
            write!(out, " (column {column})")
        };
        if !self.text.trim().is_empty() {
            let shown = String::from_iter(shown);
            out.push('\n');
            out.push_str(INDENT);
            out.extend(shown.trim_end().chars().map(printable));
            out.push('\n');
            out.push_str(INDENT);
            out.extend(std::iter::repeat_n(' ', before - first));
            out.extend(std::iter::repeat_n('^', carets));
        }
        out
    }
}

/// The last character boundary at or before `index`.
fn boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// `c`, or a stand-in of width one for characters that would garble a terminal or the position of the carets.
fn printable(c: char) -> char {
    match c {
        '\'' | '"' | '\\' => c,
        '\t' => ' ',
        _ if c.escape_debug().len() > 1 => char::REPLACEMENT_CHARACTER,
        _ => c,
    }
}

/// A piece of the formula quoted for a message, cut when it is long.
pub(super) fn quoted(piece: &str) -> String {
    const LONGEST: usize = 40;
    if piece.chars().count() <= LONGEST {
        format!("'{piece}'")
    } else {
        format!("'{}{CUT}'", piece.chars().take(LONGEST - CUT.len()).collect::<String>())
    }
}
