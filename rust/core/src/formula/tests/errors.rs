//! Every error: its message and the place it points to.

use super::super::Span;
use super::*;

/// The text, the message, and what the carets are under: a line of spaces and carets.
#[track_caller]
fn check(text: &str, carets: &str, message: &str) {
    let error = error(text);
    assert_eq!(error.message(), message, "{text}");
    assert_eq!(error.text(), text);
    let rendered = error.to_string();
    let mut lines = rendered.lines();
    let column = carets.find('^').expect("carets") + 1;
    assert_eq!(error.column(), column, "{text}");
    assert_eq!(lines.next(), Some(format!("{message} (column {column})").as_str()));
    assert_eq!(lines.next().unwrap_or(""), format!("    {text}").trim_end());
    assert_eq!(lines.next(), Some(format!("    {carets}").as_str()), "{text}");
    assert_eq!(lines.next(), None);
}

#[test]
fn an_empty_formula_is_an_error_without_a_line_to_show() {
    for text in ["", "   ", "\n\n"] {
        let error = error(text);
        assert_eq!(error.message(), "the formula is empty");
        assert_eq!(error.to_string(), "the formula is empty (column 1)");
    }
}

#[test]
fn unknown_functions_name_the_nearest_known_one_or_the_product_that_was_meant() {
    check("E + lgo(N)", "    ^^^", "unknown function 'lgo'; did you mean 'log'?");
    check("ln(N)", "^^", "unknown function 'ln'; did you mean 'log'?");
    check("A * Exp(x)", "    ^^^", "unknown function 'Exp'; did you mean 'exp'?");
    check("pow(x, 2)", "^^^", "unknown function 'pow'; a power is written with '**'");
    check("N (D + 1)", "^", "unknown function 'N'; to multiply, write 'N*('");
}

#[test]
fn operators_of_other_languages_name_ours() {
    check("N^alpha", " ^", "'^' is not an operator; a power is written with '**'");
    check("L = E + A", "  ^", "'=' is not an operator; the target is separated by '~', as in 'L ~ E + A/N**alpha'");
    check("L == E", "  ^^", "a formula has no comparison '=='; the target is separated by '~'");
    check("a <= b", "  ^^", "a formula has no comparison '<='; the target is separated by '~'");
    check("a // b", "  ^^", "'//' is not an operator; '/' divides");
    check("a − b", "  ^", "unknown character '−'; write '-'");
    check("a × b", "  ^", "unknown character '×'; write '*'");
    check("N²", " ^", "unknown character '²'; write '**2'");
    check("np.exp(x)", "  ^", "unexpected '.': functions and names are written without a module or table in front");
}

#[test]
fn unknown_characters_are_shown() {
    check("a % b", "  ^", "unknown character '%'");
    check("a + 'b'", "    ^", "unknown character '\\''");
    check("α + {b}", "    ^", "unknown character '{'");
    check("a $", "  ^", "unknown character '$'");
}

#[test]
fn control_characters_and_invisible_ones_do_not_reach_the_terminal() {
    for (text, shown) in [("a + \u{1b}[31m", "    a + \u{fffd}[31m"), ("a\tb \u{202e}", "    a b \u{fffd}")] {
        let rendered = error(text).to_string();
        assert_eq!(rendered.lines().nth(1), Some(shown));
    }
    assert!(error("a + \u{1b}").to_string().starts_with("unknown character '\\u{1b}'"));
}

#[test]
fn unbalanced_parentheses_point_to_the_one_that_is_alone() {
    check("a * (b + (c)", "    ^", "this '(' is never closed");
    check("((a)", "^", "this '(' is never closed");
    check("(", "^", "this '(' is never closed");
    check("exp(a", "   ^", "this '(' is never closed");
    check("max(a,", "   ^", "this '(' is never closed");
    check("a + b)", "     ^", "this ')' has no '('");
    check(")", "^", "this ')' has no '('");
    check("A[", " ^", "this '[' is never closed");
    check("A[lang", " ^", "this '[' is never closed");
    check("(A[lang)", "  ^", "this '[' is never closed");
    check("a]", " ^", "this ']' has no '['");
    check("(a]", "  ^", "this ']' has no '['");
    check("]", "^", "this ']' has no '['");
}

#[test]
fn missing_operands_point_to_their_operator() {
    check("a +", "  ^", "the operator '+' has nothing on its right");
    check("a **", "  ^^", "the operator '**' has nothing on its right");
    check("-", "^", "the operator '-' has nothing on its right");
    check("(a + ) * b", "   ^", "the operator '+' has nothing on its right");
    check("max(a *, b)", "      ^", "the operator '*' has nothing on its right");
    check("* a", "^", "the operator '*' has nothing on its left");
    check("a + * b", "    ^", "the operator '*' has nothing on its left");
    check("(/ b)", " ^", "the operator '/' has nothing on its left");
    check("L ~ ** b", "    ^^", "the operator '**' has nothing on its left");
    check("a + ()", "    ^^", "there is nothing between these parentheses");
}

#[test]
fn misplaced_commas_and_brackets_say_what_they_are_for() {
    check("a, b", " ^", "a ',' separates the arguments of a function and has no other use");
    check("(a, b)", "  ^", "a ',' separates the arguments of a function and has no other use");
    check(", a", "^", "a ',' separates the arguments of a function and has no other use");
    check("L ~ , a", "    ^", "a ',' separates the arguments of a function and has no other use");
    check("max(, a)", "    ^", "an argument is missing before this ','");
    check("max(a,, b)", "      ^", "an argument is missing before this ','");
    check("(a + b)[lang]", "       ^", "only a name can have a column in brackets, as in 'A[language]'");
    check("[lang]", "^", "only a name can have a column in brackets, as in 'A[language]'");
    check("a + [b]", "    ^", "only a name can have a column in brackets, as in 'A[language]'");
    check("A[x][y]", "    ^", "only a name can have a column in brackets, as in 'A[language]'");
    check("A[1]", "  ^", "the brackets after a name hold the name of a column, as in 'A[language]'");
    check("A[]", "  ^", "the brackets after a name hold the name of a column, as in 'A[language]'");
    check("A[exp]", "  ^^^", "the brackets after a name hold the name of a column, as in 'A[language]'");
    check("A[x + 1", "    ^", "the brackets after a name hold one column and nothing else");
    check("A[x, y]", "   ^", "the brackets after a name hold one column and nothing else");
}

#[test]
fn products_without_an_operator_are_shown_with_one() {
    check("2x", " ^", "an operator is missing between '2' and 'x'; to multiply, write '2*x'");
    check("A B", "  ^", "an operator is missing between 'A' and 'B'; to multiply, write 'A*B'");
    check("2 (a)", "  ^", "an operator is missing between '2' and '('; to multiply, write '2*('");
    check("(a)(b)", "   ^", "an operator is missing between ')' and '('; to multiply, write ')*('");
    check("exp(a b)", "      ^", "an operator is missing between 'a' and 'b'; to multiply, write 'a*b'");
    check("(a 10)", "   ^^", "an operator is missing between 'a' and '10'; to multiply, write 'a*10'");
}

#[test]
fn functions_need_a_call_and_the_right_number_of_arguments() {
    check("2*exp", "  ^^^", "'exp' is a function; write 'exp(...)'");
    check("exp[lang]", "^^^", "'exp' is a function; write 'exp(...)'");
    check("1 + exp()", "    ^^^^^", "exp() takes one argument, not 0");
    check("log(a, 2)", "^^^^^^^^^", "log() takes one argument, not 2");
    check("max(a)", "^^^^^^", "max() takes two or more arguments, not 1");
    check("min()", "^^^^^", "min() takes two or more arguments, not 0");
}

#[test]
fn bad_numbers_are_errors() {
    check("1 + 1e999", "    ^^^^^", "the number '1e999' is too large");
    check("1__0", " ^", "an underscore in a number must stand between two digits");
    check("1_", " ^", "an underscore in a number must stand between two digits");
    check("1._5", "  ^", "an underscore in a number must stand between two digits");
    check("1_e5", " ^", "an underscore in a number must stand between two digits");
    check("1e5_", "   ^", "an underscore in a number must stand between two digits");
    check("012", "^^^", "the whole number '012' starts with a zero");
    check("0x1F", "^^", "numbers are written in base ten");
    let long = "9".repeat(400);
    assert_eq!(error(&long).message(), format!("the number '{}...' is too large", "9".repeat(37)));
}

#[test]
fn words_and_letters_that_python_reads_otherwise_cannot_be_names() {
    check("N**lambda", "   ^^^^^^", "'lambda' is a reserved word of Python and cannot be a name; 'lambda_' is free");
    check("a if b", "  ^^", "'if' is a reserved word of Python and cannot be a name");
    check("A[class]", "  ^^^^^", "'class' is a reserved word of Python and cannot be a name");
    check("aϵ", " ^", "'ϵ' is a variant of 'ε', which Python takes instead: write that");
    check("\u{b5}", "^", "'\u{b5}' is a variant of '\u{3bc}', which Python takes instead: write that");
}

#[test]
fn the_target_is_one_name_that_is_not_used_on_the_right() {
    check("~ a", "^", "the name of the target is missing before '~'");
    check("L ~", "  ^", "the expression is missing after '~'");
    check("L ~ ~ a", "    ^", "a formula has one '~' only");
    check("L ~ a ~ b", "      ^", "a formula has one '~' only");
    check("log(L) ~ a", "       ^", "only the name of the target, alone, can stand before '~'");
    check("A[lang] ~ a", "        ^", "only the name of the target, alone, can stand before '~'");
    check("2 ~ a", "  ^", "only the name of the target, alone, can stand before '~'");
    check("a + ~b", "  ^", "the operator '+' has nothing on its right");
    check("(~b)", " ^", "only the name of the target, alone, can stand before '~'");
    check("exp ~ a", "^^^", "'exp' is a function and cannot be the target");
    check("L ~ E + (L)", "         ^", "the target 'L' may not appear on the right-hand side");
    check("L ~ E + L[x]", "        ^^^^", "the target 'L' may not appear on the right-hand side");
    check("L ~ E + A[L]", "        ^^^^", "the target 'L' may not appear on the right-hand side");
}

#[test]
fn a_name_is_used_in_one_way() {
    check("A + A[lang]", "    ^^^^^^^", "'A' has a column here but none where it first appears");
    check("A[lang] + A", "          ^", "'A' has no column here but 'lang' where it first appears");
    check("A[x] + A[y]", "       ^^^^", "'A' has the column 'x' where it first appears, and not this one");
    check("A[A]", "^^^^", "'A' is used both as a parameter and as a column in brackets");
    check("A[x] + x[y]", "       ^^^^", "'x' is used both as a parameter and as a column in brackets");
    check("x[y] + A[x]", "       ^^^^", "'x' is used both as a parameter and as a column in brackets");
    // A column of whole numbers can be the groups and an input.
    assert_eq!(parse("A[depth] * depth").names(), ["A", "depth"]);
}

#[test]
fn positions_count_lines_and_characters() {
    let error = error("L ~ αβ +\n  E + γ ^ 2 +\n  D");
    assert_eq!((error.line(), error.column()), (2, 9));
    assert_eq!(error.span(), Span::new(20, 21));
    assert_eq!(
        error.to_string(),
        "'^' is not an operator; a power is written with '**' (line 2, column 9)\n      E + γ ^ 2 +\n            ^"
    );
}

#[test]
fn a_span_over_several_lines_is_marked_on_the_first() {
    let rendered = error("1 +\nlog(a,\n b)").to_string();
    assert_eq!(rendered, "log() takes one argument, not 2 (line 2, column 1)\n    log(a,\n    ^^^^^^");
}

#[test]
fn long_lines_are_cut_around_the_error() {
    let long = "a + ".repeat(100);
    for text in
        [format!("{long}^ + {long}b"), format!("^ + {long}b"), format!("{long}^"), format!("{long}é + αβγ ^{long}")]
    {
        let error = error(&text);
        let rendered = error.to_string();
        let lines: Vec<Vec<char>> = rendered.lines().map(|line| line.chars().collect()).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].len() <= 100, "{rendered}");
        let caret = lines[2].len() - 1;
        assert_eq!((lines[1][caret], lines[2][caret]), ('^', '^'), "{rendered}");
        assert!(rendered.contains("..."));
    }
    let wide = format!("{long}max({long}b)");
    let rendered = error(&wide).to_string();
    let lines: Vec<&str> = rendered.lines().collect();
    assert_eq!(lines[1].chars().count(), 100);
    assert_eq!(lines[2].chars().count(), 100);
    assert!(lines[1].ends_with("..."));
}

#[test]
fn an_error_can_be_made_with_any_span() {
    let text = "αβ";
    for start in 0..6 {
        for end in 0..6 {
            let error = FormulaError::new("no", text, Span::new(start, end));
            let span = error.span();
            assert!(span.start <= span.end && span.end <= text.len());
            assert!(error.to_string().starts_with("no (column "));
        }
    }
}
