//! What can be wrong while a text is read.

use super::error::quoted;
use super::{FormulaError, Function, Span};

/// A message and its place; the text is added where the error leaves the parser.
#[derive(Debug)]
pub(super) struct Problem {
    message: String,
    span: Span,
}

/// The result of reading a piece.
pub(super) type Step<T> = Result<T, Box<Problem>>;

/// The error half of a [`Step`].
pub(super) fn problem<T>(span: Span, message: impl Into<String>) -> Step<T> {
    Err(Box::new(Problem { message: message.into(), span }))
}

impl Problem {
    pub(super) fn in_text(self, text: &str) -> FormulaError {
        FormulaError::new(self.message, text, self.span)
    }
}

pub(super) fn misplaced_underscore<T>(at: Span) -> Step<T> {
    problem(at, "an underscore in a number must stand between two digits")
}

pub(super) fn never_opened<T>(at: Span, close: char, open: char) -> Step<T> {
    problem(at, format!("this '{close}' has no '{open}'"))
}

pub(super) fn never_closed<T>(at: Span, open: char) -> Step<T> {
    problem(at, format!("this '{open}' is never closed"))
}

pub(super) fn column_without_name<T>(at: Span) -> Step<T> {
    problem(at, "only a name can have a column in brackets, as in 'A[language]'")
}

pub(super) fn stray_comma<T>(at: Span) -> Step<T> {
    problem(at, "a ',' separates the arguments of a function and has no other use")
}

pub(super) fn misplaced_tilde<T>(at: Span) -> Step<T> {
    problem(at, "only the name of the target, alone, can stand before '~'")
}

pub(super) fn second_tilde<T>(at: Span) -> Step<T> {
    problem(at, "a formula has one '~' only")
}

pub(super) fn nothing_on_the<T>(side: &str, operator: &str, at: Span) -> Step<T> {
    problem(at, format!("the operator {} has nothing on its {side}", quoted(operator)))
}

pub(super) fn missing_operator<T>(left: &str, right: &str, at: Span) -> Step<T> {
    let product = format!("{left}*{right}");
    let (left, right, product) = (quoted(left), quoted(right), quoted(&product));
    let message = format!("an operator is missing between {left} and {right}; to multiply, write {product}");
    problem(at, message)
}

pub(super) fn unknown_function<T>(name: &str, at: Span) -> Step<T> {
    let hint = match (Function::nearest(name), name) {
        (Some(nearest), _) => format!("did you mean '{}'?", nearest.name()),
        (None, "pow" | "power") => "a power is written with '**'".into(),
        (None, _) => format!("to multiply, write {}", quoted(&format!("{name}*("))),
    };
    problem(at, format!("unknown function {}; {hint}", quoted(name)))
}

/// `name` appears with `column` where it appeared with `earlier` before.
pub(super) fn two_uses<T>(name: &str, earlier: Option<&str>, column: Option<&str>, at: Span) -> Step<T> {
    let name = quoted(name);
    let message = match (earlier.map(quoted), column) {
        (None, _) => format!("{name} has a column here but none where it first appears"),
        (Some(earlier), None) => {
            format!("{name} has no column here but {earlier} where it first appears")
        }
        (Some(earlier), Some(_)) => {
            format!("{name} has the column {earlier} where it first appears, and not this one")
        }
    };
    problem(at, message)
}

/// Check the number of arguments of a call.
pub(super) fn check_count(function: Function, count: usize, at: Span) -> Step<()> {
    let name = function.name();
    if function.is_variadic() {
        if count < 2 {
            return problem(at, format!("{name}() takes two or more arguments, not {count}"));
        }
    } else if count != 1 {
        return problem(at, format!("{name}() takes one argument, not {count}"));
    }
    Ok(())
}
