//! LaTeX, by examples.

use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(parse(text).latex(), expected, "{text}");
}

#[test]
fn scaling_laws_look_as_in_papers() {
    check("L ~ E + A/N**alpha + B/D**beta", r"L = E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}");
    check(
        "L ~ ((N_c/N)**(alpha_N/alpha_D) + D_c/D)**alpha_D",
        r"L = \left(\left(\frac{N_{c}}{N}\right)^{\alpha_{N}/\alpha_{D}} + \frac{D_{c}}{D}\right)^{\alpha_{D}}",
    );
    check("L ~ exp(a - alpha*log(N)) + exp(e)", r"L = \exp(a - \alpha\,\log(N)) + \exp(e)");
    check("6*N*D", r"6\,N\,D");
    check("E + A*N**-alpha", r"E + A\,N^{-\alpha}");
    check(
        "E + (A/N**alpha + B/D**beta)/(1 + U/D)",
        r"E + \frac{\frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}}{1 + \frac{U}{D}}",
    );
}

#[test]
fn names_have_subscripts_greek_letters_and_upright_words() {
    check("alpha", r"\alpha");
    check("alpha_N", r"\alpha_{N}");
    check("b1", "b_{1}");
    check("beta_2", r"\beta_{2}");
    check("N_total", r"N_{\mathrm{total}}");
    check("L_inf", r"L_{\infty}");
    check("sigma_N_max", r"\sigma_{N,\mathrm{max}}");
    check("x1_y2", "x_{1,y_{2}}");
    check("tokens", r"\mathrm{tokens}");
    check("lambda_", r"\lambda");
    check("Omega", r"\Omega");
    check("α_ω", r"\alpha_{\omega}");
    check("Ω", r"\Omega");
    check("Σ", r"\Sigma");
    check("é", "é");
    check("_", r"\_");
    check("A[lang]", r"A_{\mathrm{lang}}");
    check("A[i]", "A_{i}");
    check("alpha_N[data_set]", r"\alpha_{N,\mathrm{data\_set}}");
}

#[test]
fn numbers_have_powers_of_ten_and_dots_between_them() {
    check("1e9", "10^{9}");
    check("1.5e9", r"1.5 \times 10^{9}");
    check("1e-12 * x", r"10^{-12}\,x");
    check("1000", "1000");
    check("2*3", r"2 \cdot 3");
    check("N*2*1e9", r"N \cdot 2 \cdot 10^{9}");
    check("2*(1/3)", r"2 \cdot \frac{1}{3}");
    check("1e9**2", r"\left(10^{9}\right)^{2}");
    check("2**x", "2^{x}");
    assert_eq!(binary(name("a"), BinaryOp::Mul, number(-1e9)).latex(), r"a\,\left(-10^{9}\right)");
}

#[test]
fn fractions_gather_factors_and_divisors() {
    check("a/b/c", r"\frac{a}{b\,c}");
    check("a*b/c", r"\frac{a\,b}{c}");
    check("a/b*c", r"\frac{a}{b}\,c");
    check("a/b*c/d", r"\frac{a}{b}\,\frac{c}{d}");
    check("(a+b)/(c+d)", r"\frac{a + b}{c + d}");
    check("(a+b)*c/((d+e)*f)", r"\frac{(a + b)\,c}{(d + e)\,f}");
    check("a/(b+c)/d", r"\frac{a}{(b + c)\,d}");
    check("a*(b*c)", r"a\,b\,c");
    check("x**(1/2)", "x^{1/2}");
    check("x**((a+b)/c)", r"x^{\frac{a + b}{c}}");
    check("x**(a*b/c)", r"x^{\frac{a\,b}{c}}");
    check("(a/b)**c", r"\left(\frac{a}{b}\right)^{c}");
}

#[test]
fn signs_never_follow_an_operator_directly() {
    check("-a/b", r"-\frac{a}{b}");
    check("-a*b + c", r"-a\,b + c");
    check("a + -b", "a + (-b)");
    check("a - (-b)*c", r"a - (-b\,c)");
    check("a*-b", r"a\,(-b)");
    check("--a", "-(-a)");
    check("-(a+b)", "-(a + b)");
    check("-(a*b)", r"-a\,b");
    check("(-a+b)*c - d", r"(-a + b)\,c - d");
    check("x + (b-a)*c", r"x + (b - a)\,c");
    check("x + (-a+b)*c", r"x + (-a + b)\,c");
    check("a + (b - c)", "a + b - c");
    check("a + (-b + c)", "a + (-b + c)");
    check("a - (b + c)", "a - (b + c)");
    check("a - (b - c)", "a - (b - c)");
    check("-x**2", "-x^{2}");
    check("(-x)**2", "(-x)^{2}");
    check("x**-y", "x^{-y}");
}

#[test]
fn functions_have_their_usual_names_and_parentheses_that_fit() {
    check("log(N)", r"\log(N)");
    check("log(N/D)", r"\log\left(\frac{N}{D}\right)");
    check("log(N)**2", r"(\log(N))^{2}");
    check("log2(x) + log10(x)", r"\log_{2}(x) + \log_{10}(x)");
    check("log1p(x)", r"\log(1 + x)");
    check("log1p(-x)", r"\log(1 - x)");
    check("log1p(-x + y)", r"\log(1 + (-x + y))");
    check("log1p(-(x + y))", r"\log(1 + (-(x + y)))");
    check("expm1(x)*a", r"(\exp(x) - 1)\,a");
    check("a - expm1(x)", r"a - (\exp(x) - 1)");
    check("sqrt(a + b)", r"\sqrt{a + b}");
    check("sqrt(a)**3", r"\sqrt{a}^{3}");
    check("abs(a - b)", r"\left|a - b\right|");
    check("atan(x)", r"\arctan(x)");
    check(
        "sigmoid(x) + softplus(x) + erf(x)",
        r"\operatorname{sigmoid}(x) + \operatorname{softplus}(x) + \operatorname{erf}(x)",
    );
    check("normcdf(x)", r"\Phi(x)");
    check("max(a, b/c, 1)", r"\max\left(a, \frac{b}{c}, 1\right)");
}
