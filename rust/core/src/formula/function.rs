//! The functions that formulas may call.

/// A function of the formula language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// `exp(x)`
    Exp,
    /// Natural logarithm, `log(x)`
    Log,
    /// `log2(x)`
    Log2,
    /// `log10(x)`
    Log10,
    /// `log(1 + x)`
    Log1p,
    /// `exp(x) - 1`
    Expm1,
    /// `sqrt(x)`
    Sqrt,
    /// `abs(x)`
    Abs,
    /// `sin(x)`
    Sin,
    /// `cos(x)`
    Cos,
    /// `tan(x)`
    Tan,
    /// Inverse tangent, `atan(x)`
    Atan,
    /// Hyperbolic tangent, `tanh(x)`
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `log(1 + exp(x))`
    Softplus,
    /// Error function, `erf(x)`
    Erf,
    /// Distribution function of the standard normal, `normcdf(x)`
    Normcdf,
    /// Least of two or more, `min(a, b, ...)`
    Min,
    /// Greatest of two or more, `max(a, b, ...)`
    Max,
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 19] = [
        Self::Exp,
        Self::Log,
        Self::Log2,
        Self::Log10,
        Self::Log1p,
        Self::Expm1,
        Self::Sqrt,
        Self::Abs,
        Self::Sin,
        Self::Cos,
        Self::Tan,
        Self::Atan,
        Self::Tanh,
        Self::Sigmoid,
        Self::Softplus,
        Self::Erf,
        Self::Normcdf,
        Self::Min,
        Self::Max,
    ];

    /// The name that formulas call.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exp => "exp",
            Self::Log => "log",
            Self::Log2 => "log2",
            Self::Log10 => "log10",
            Self::Log1p => "log1p",
            Self::Expm1 => "expm1",
            Self::Sqrt => "sqrt",
            Self::Abs => "abs",
            Self::Sin => "sin",
            Self::Cos => "cos",
            Self::Tan => "tan",
            Self::Atan => "atan",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Softplus => "softplus",
            Self::Erf => "erf",
            Self::Normcdf => "normcdf",
            Self::Min => "min",
            Self::Max => "max",
        }
    }

    /// The function called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    /// Whether the function takes two or more arguments; the others take exactly one.
    pub const fn is_variadic(self) -> bool {
        matches!(self, Self::Min | Self::Max)
    }

    /// The function that somebody who wrote `name` most likely meant.
    pub(super) fn nearest(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        // What other languages and libraries call the same thing.
        let alias = match name.as_str() {
            "ln" | "loge" => Some(Self::Log),
            "arctan" => Some(Self::Atan),
            "expit" | "logistic" => Some(Self::Sigmoid),
            "fabs" => Some(Self::Abs),
            "logb" | "lb" => Some(Self::Log2),
            "maximum" => Some(Self::Max),
            "minimum" => Some(Self::Min),
            "ncdf" | "phi" => Some(Self::Normcdf),
            _ => None,
        };
        let longest_wrong = 2 + Self::ALL.iter().map(|f| f.name().len()).max().unwrap_or(0);
        if alias.is_some() || name.len() > longest_wrong {
            return alias;
        }
        let tolerance = if name.chars().count() <= 3 { 1 } else { 2 };
        Self::ALL
            .into_iter()
            .map(|function| (distance(&name, function.name()), function))
            .filter(|(distance, _)| *distance <= tolerance)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, function)| function)
    }
}

/// Edit distance in which a swap of neighbours counts as one edit (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_function_once_and_names_are_found_again() {
        for (index, function) in Function::ALL.into_iter().enumerate() {
            assert_eq!(function as usize, index);
            assert_eq!(Function::from_name(function.name()), Some(function));
        }
        assert_eq!(Function::from_name("Exp"), None);
    }

    #[test]
    fn distance_counts_edits_and_swaps() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("log", "log", 0),
            ("lgo", "log", 1),
            ("sqt", "sqrt", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn nearest_knows_typos_and_other_names_but_does_not_guess_wildly() {
        for (name, expected) in [
            ("lgo", Some(Function::Log)),
            ("ln", Some(Function::Log)),
            ("LOG", Some(Function::Log)),
            ("sofplus", Some(Function::Softplus)),
            ("arctan", Some(Function::Atan)),
            ("N", None),
            ("alpha", None),
            ("a_very_long_name_of_something", None),
        ] {
            assert_eq!(Function::nearest(name), expected, "{name}");
        }
    }
}
