//! An interpreter of formulas that shares no code with the compiler, and laws to try things on.
//!
//! It computes with second-order dual numbers: a value with its gradient and Hessian. Rounding errors are estimated
//! by Monte-Carlo arithmetic: the same computation once more with every intermediate result nudged at random.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use scalinglaws_core::formula::{BinaryOp, Expr, ExprKind, Formula, Function};
use scalinglaws_core::{Law, Param, ParamKind};
use std::collections::HashMap;
use std::sync::Arc;

/// Pseudo-random numbers that are the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn between(&mut self, lo: f64, hi: f64) -> f64 {
        lo + (hi - lo) * self.unit()
    }

    pub fn log_between(&mut self, lo: f64, hi: f64) -> f64 {
        self.between(lo.ln(), hi.ln()).exp()
    }

    /// Roughly normal, with mean zero and standard deviation one.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// A value with first and second derivatives.
#[derive(Clone, Debug)]
pub struct Dual {
    pub v: f64,
    pub g: Vec<f64>,
    pub h: Vec<f64>,
}

impl Dual {
    pub fn constant(v: f64, n: usize) -> Self {
        Self { v, g: vec![0.0; n], h: vec![0.0; n * n] }
    }

    pub fn variable(v: f64, k: usize, n: usize) -> Self {
        let mut dual = Self::constant(v, n);
        dual.g[k] = 1.0;
        dual
    }

    pub fn n(&self) -> usize {
        self.g.len()
    }

    fn is_constant(&self) -> bool {
        self.g.iter().chain(&self.h).all(|d| *d == 0.0)
    }

    /// A function of `self` with value `v`, first derivative `d` and second derivative `dd`.
    pub fn chain(&self, v: f64, d: f64, dd: f64) -> Self {
        let n = self.n();
        let mut out = Self::constant(v, n);
        // A constant has no derivative, unless it sits on a singularity, where the product rule gives none.
        if self.is_constant() && d.is_finite() && dd.is_finite() {
            return out;
        }
        for i in 0..n {
            out.g[i] = d * self.g[i];
            for j in 0..n {
                out.h[i * n + j] = d * self.h[i * n + j] + dd * self.g[i] * self.g[j];
            }
        }
        out
    }

    pub fn plus(&self, sign: f64, b: &Self) -> Self {
        let zip = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x + sign * y).collect();
        Self { v: self.v + sign * b.v, g: zip(&self.g, &b.g), h: zip(&self.h, &b.h) }
    }

    pub fn times(&self, b: &Self) -> Self {
        let n = self.n();
        let mut out = Self::constant(self.v * b.v, n);
        for i in 0..n {
            out.g[i] = self.g[i] * b.v + self.v * b.g[i];
            for j in 0..n {
                out.h[i * n + j] =
                    self.h[i * n + j] * b.v + self.g[i] * b.g[j] + self.g[j] * b.g[i] + self.v * b.h[i * n + j];
            }
        }
        out
    }

    pub fn recip(&self) -> Self {
        let r = 1.0 / self.v;
        self.chain(r, -r * r, 2.0 * r * r * r)
    }

    pub fn exp(&self) -> Self {
        let e = self.v.exp();
        self.chain(e, e, e)
    }

    pub fn log(&self) -> Self {
        let r = 1.0 / self.v;
        self.chain(self.v.ln(), r, -r * r)
    }

    fn pow(&self, b: &Self) -> Self {
        if b.is_constant() {
            let (x, n) = (self.v, b.v);
            let slope = if n == 0.0 { 0.0 } else { n * x.powf(n - 1.0) };
            let bend = if n == 0.0 || n == 1.0 { 0.0 } else { n * (n - 1.0) * x.powf(n - 2.0) };
            return self.chain(x.powf(n), slope, bend);
        }
        let power = self.log().times(b).exp();
        Self { v: self.v.powf(b.v), ..power }
    }

    fn call(&self, function: Function) -> Self {
        use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, LN_10, PI, SQRT_2};
        let x = self.v;
        let sigmoid = |x: f64| if x > 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) };
        match function {
            Function::Exp => self.exp(),
            Function::Log => self.log(),
            Function::Log2 => self.chain(x.log2(), 1.0 / (x * LN_2), -1.0 / (x * x * LN_2)),
            Function::Log10 => self.chain(x.log10(), 1.0 / (x * LN_10), -1.0 / (x * x * LN_10)),
            Function::Log1p => self.chain(x.ln_1p(), 1.0 / (1.0 + x), -1.0 / ((1.0 + x) * (1.0 + x))),
            Function::Expm1 => self.chain(x.exp_m1(), x.exp(), x.exp()),
            Function::Sqrt => self.chain(x.sqrt(), 0.5 / x.sqrt(), -0.25 / (x * x.sqrt())),
            Function::Abs => self.chain(x.abs(), if x == 0.0 { 0.0 } else { x.signum() }, 0.0),
            Function::Sin => self.chain(x.sin(), x.cos(), -x.sin()),
            Function::Cos => self.chain(x.cos(), -x.sin(), -x.cos()),
            Function::Tan => {
                let (t, s) = (x.tan(), 1.0 / x.cos().powi(2));
                self.chain(t, s, 2.0 * t * s)
            }
            Function::Atan => {
                let d = 1.0 / (1.0 + x * x);
                self.chain(x.atan(), d, -2.0 * x * d * d)
            }
            Function::Tanh => {
                let (t, d) = (x.tanh(), 1.0 / x.cosh().powi(2));
                self.chain(t, d, -2.0 * t * d)
            }
            Function::Sigmoid => {
                let (up, down) = (sigmoid(x), sigmoid(-x));
                self.chain(up, up * down, up * down * (down - up))
            }
            Function::Softplus => {
                let (up, down) = (sigmoid(x), sigmoid(-x));
                self.chain(x.max(0.0) + (-x.abs()).exp().ln_1p(), up, up * down)
            }
            Function::Erf => {
                let bell = FRAC_2_SQRT_PI * (-x * x).exp();
                self.chain(libm::erf(x), bell, -2.0 * x * bell)
            }
            Function::Normcdf => {
                let bell = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
                self.chain(0.5 * libm::erfc(-x / SQRT_2), bell, -x * bell)
            }
            Function::Min | Function::Max => unreachable!("several arguments"),
        }
    }

    /// All numbers: value, gradient, Hessian.
    pub fn flat(&self) -> Vec<f64> {
        [self.v].iter().chain(&self.g).chain(&self.h).copied().collect()
    }
}

/// Relative size of the nudges of Monte-Carlo arithmetic: a few hundred rounding errors.
const NUDGE: f64 = 1e-13;

fn nudged(mut dual: Dual, random: Option<&mut Random>) -> Dual {
    if let Some(random) = random {
        let Dual { v, g, h } = &mut dual;
        for x in std::iter::once(v).chain(g).chain(h) {
            *x *= 1.0 + NUDGE * random.between(-1.0, 1.0);
        }
    }
    dual
}

/// Evaluates a tree.
pub fn interpret(expr: &Expr, env: &HashMap<String, Dual>, mut random: Option<&mut Random>) -> Dual {
    let n = env.values().next().map_or(0, Dual::n);
    let mut done: Vec<Dual> = Vec::new();
    for node in expr.postorder() {
        let args = done.split_off(done.len() - node.children().count());
        let operands_are_nonzero = args.iter().all(|a| a.v != 0.0) || matches!(node.kind, ExprKind::Call { .. });
        let lost = args.iter().any(|a| !a.v.is_finite());
        let dual = match &node.kind {
            ExprKind::Number(x) => Dual::constant(*x, n),
            ExprKind::Name(name) | ExprKind::Grouped { name, .. } => env[name].clone(),
            ExprKind::Neg(_) => args[0].chain(-args[0].v, -1.0, 0.0),
            // A negative base has a power only where the exponent is written as a whole number.
            ExprKind::Binary { op: BinaryOp::Pow, right, .. } if args[0].v < 0.0 && !is_whole(right) => {
                Dual::constant(f64::NAN, n)
            }
            ExprKind::Binary { op, .. } => match op {
                BinaryOp::Add => args[0].plus(1.0, &args[1]),
                BinaryOp::Sub => args[0].plus(-1.0, &args[1]),
                BinaryOp::Mul => args[0].times(&args[1]),
                BinaryOp::Div => args[0].times(&args[1].recip()),
                BinaryOp::Pow => args[0].pow(&args[1]),
            },
            ExprKind::Call { function: Function::Min, .. } => pick(args, |new, old| new < old),
            ExprKind::Call { function: Function::Max, .. } => pick(args, |new, old| new > old),
            ExprKind::Call { function, .. } => args[0].call(*function),
        };
        let mut dual = nudged(dual, random.as_deref_mut());
        // Near underflow and overflow the compiler, which knows logarithms, does better than the interpreter.
        let smallest = match &node.kind {
            ExprKind::Binary { op: BinaryOp::Mul | BinaryOp::Div | BinaryOp::Pow, .. } => 1e-100,
            ExprKind::Call {
                function: Function::Exp | Function::Sigmoid | Function::Softplus | Function::Normcdf,
                ..
            } => f64::MIN_POSITIVE,
            _ => 0.0,
        };
        let lost = lost || (dual.v.abs() < smallest && operands_are_nonzero);
        if lost || dual.v.is_nan() || dual.v.abs() > 1e100 {
            // Without a value there is no derivative either, and no later operation brings it back.
            dual = Dual { v: f64::NAN, g: vec![f64::NAN; n], h: vec![f64::NAN; n * n] };
        }
        done.push(dual);
    }
    done.pop().unwrap()
}

fn is_whole(exponent: &Expr) -> bool {
    match &exponent.kind {
        ExprKind::Number(x) => x.fract() == 0.0,
        ExprKind::Neg(inner) => is_whole(inner),
        _ => false,
    }
}

fn pick(args: Vec<Dual>, better: impl Fn(f64, f64) -> bool) -> Dual {
    let keeps = |old: f64, new: f64| old.is_nan() || !(new.is_nan() || better(new, old));
    args.into_iter().reduce(|old, new| if keeps(old.v, new.v) { old } else { new }).unwrap()
}

/// What is expected of a computation, and how far rounding may lead away from it.
pub struct Expected {
    pub exact: Vec<f64>,
    pub tolerance: Vec<f64>,
}

/// Runs `compute` without and with nudges.
pub fn expected(compute: impl Fn(Option<&mut Random>) -> Vec<f64>) -> Expected {
    let exact = compute(None);
    let mut spread = vec![0.0f64; exact.len()];
    for seed in 0..4 {
        let other = compute(Some(&mut Random::new(seed)));
        for (s, (a, b)) in spread.iter_mut().zip(exact.iter().zip(&other)) {
            // A neighbour without a value leaves nothing to compare.
            *s = if b.is_finite() { s.max((a - b).abs()) } else { f64::NAN };
        }
    }
    // Where nudges change even the leading digits, as in the sine of a huge number, nothing can be expected.
    let tolerance = |(x, s): (&f64, &f64)| {
        if *s > 0.01 * x.abs() && *s > 1e-6 * exact[0].abs() { f64::NAN } else { 4.0 * s + 1e-12 * x.abs() + 1e-280 }
    };
    let tolerance = exact.iter().zip(&spread).map(tolerance).collect();
    Expected { exact, tolerance }
}

impl Expected {
    /// Checks every number that the reference has a finite value for; returns how many those are.
    pub fn check(&self, found: &[f64], what: &dyn Fn() -> String) -> usize {
        assert_eq!(found.len(), self.exact.len(), "{}", what());
        let mut checked = 0;
        for (i, (x, (e, t))) in found.iter().zip(self.exact.iter().zip(&self.tolerance)).enumerate() {
            if e.is_finite() && t.is_finite() {
                assert!((x - e).abs() <= *t, "number {i}: {x:e}, expected {e:e} within {t:e}; {}", what());
                checked += 1;
            }
        }
        checked
    }
}

/// Value, gradient and Hessian of a formula by the interpreter. `names` are the variables, at `values`.
pub fn reference(formula: &Formula, names: &[String], values: &[f64], random: Option<&mut Random>) -> Dual {
    let n = names.len();
    let env = names.iter().zip(values).enumerate();
    let env = env.map(|(k, (name, v))| (name.clone(), Dual::variable(*v, k, n))).collect();
    interpret(&formula.root, &env, random)
}

/// A law with sensible parameter values and ranges of its inputs.
pub struct Example {
    pub id: &'static str,
    pub formula: &'static str,
    pub params: &'static [(&'static str, ParamKind, f64)],
    pub inputs: &'static [(&'static str, f64, f64)],
}

use ParamKind::{Box as Interval, Positive, Real};

/// Laws of the catalogue and a few that use the rest of the language.
pub const EXAMPLES: [Example; 9] = [
    Example {
        id: "power_law",
        formula: "y ~ A * x**(-alpha)",
        params: &[("A", Positive, 12.0), ("alpha", Real, 0.3)],
        inputs: &[("x", 1e2, 1e9)],
    },
    Example {
        id: "power_law_floor",
        formula: "L ~ E + A * x**(-alpha)",
        params: &[("E", Positive, 1.7), ("A", Positive, 12.0), ("alpha", Positive, 0.3)],
        inputs: &[("x", 1e2, 1e9)],
    },
    Example {
        id: "chinchilla",
        formula: "L ~ E + A / N**alpha + B / D**beta",
        params: &[
            ("E", Positive, 1.8172),
            ("A", Positive, 482.01),
            ("B", Positive, 2085.43),
            ("alpha", Real, 0.3478),
            ("beta", Real, 0.3658),
        ],
        inputs: &[("N", 1e7, 1e10), ("D", 1e9, 1e12)],
    },
    Example {
        id: "kaplan_nd",
        formula: "L ~ ((Nc / N)**(alpha_N / alpha_D) + Dc / D)**alpha_D",
        params: &[
            ("Nc", Positive, 6.4e13),
            ("Dc", Positive, 1.8e13),
            ("alpha_N", Positive, 0.076),
            ("alpha_D", Positive, 0.103),
        ],
        inputs: &[("N", 1e6, 1e11), ("D", 1e7, 1e12)],
    },
    Example {
        id: "overtraining",
        formula: "L ~ E + (a * M**eta + b * M**(-eta)) * C**(-eta)",
        params: &[
            ("E", Interval(0.0, f64::INFINITY), 1.51),
            ("a", Positive, 141.3),
            ("b", Positive, 189.5),
            ("eta", Positive, 0.1212),
        ],
        inputs: &[("C", 1e16, 1e22), ("M", 5.0, 640.0)],
    },
    Example {
        id: "farseer",
        formula: "L ~ exp(a3 * N**gamma + b3) + exp(a2 * N**beta + b2) * D**(-exp(a1 * N**alpha + b1))",
        params: &[
            ("a1", Real, -0.124),
            ("b1", Real, 0.424),
            ("alpha", Real, 0.123),
            ("a2", Real, 88.01),
            ("b2", Real, -6.287),
            ("beta", Real, -0.1),
            ("a3", Real, -0.021),
            ("b3", Real, 0.091),
            ("gamma", Real, 0.169),
        ],
        inputs: &[("N", 1e8, 1e10), ("D", 1e9, 1e12)],
    },
    Example {
        id: "broken_power_law",
        formula: "y ~ a + b * x**(-c0) * (1 + (x / d1)**(1 / f1))**(-c1 * f1)",
        params: &[
            ("a", Real, 0.1),
            ("b", Positive, 5.0),
            ("c0", Real, 0.1),
            ("c1", Real, 0.5),
            ("d1", Positive, 1e5),
            ("f1", Positive, 0.4),
        ],
        inputs: &[("x", 1e2, 1e9)],
    },
    Example {
        id: "data_constrained",
        formula: "L ~ E + A / (min(N, (alpha*A/(beta*B))**(1/alpha) * U**(beta/alpha)) * (1 + RN*(1 - exp(-(N/min(N, \
                  (alpha*A/(beta*B))**(1/alpha) * U**(beta/alpha)) - 1)/RN))))**alpha + B / (U * (1 + RD*(1 - \
                  exp(-max(D/U - 1, 0)/RD))))**beta",
        params: &[
            ("E", Positive, 1.87),
            ("A", Positive, 520.8),
            ("B", Positive, 1487.7),
            ("alpha", Positive, 0.3527),
            ("beta", Positive, 0.3527),
            ("RD", Positive, 15.4),
            ("RN", Positive, 5.3),
        ],
        inputs: &[("N", 1e7, 1e10), ("D", 1e9, 1e12), ("U", 1e8, 1e11)],
    },
    Example {
        id: "sigmoid",
        formula: "y ~ lo + (hi - lo) * sigmoid(slope * (log10(C) - mid))",
        params: &[
            ("lo", Interval(0.0, 1.0), 0.25),
            ("hi", Interval(0.0, 1.0), 0.9),
            ("slope", Positive, 1.7),
            ("mid", Real, 21.0),
        ],
        inputs: &[("C", 1e18, 1e24)],
    },
];

impl Example {
    pub fn get(id: &str) -> &'static Self {
        EXAMPLES.iter().find(|e| e.id == id).expect("a known law")
    }

    pub fn law(&self) -> Arc<Law> {
        let params = self.params.iter().map(|(name, kind, _)| Param::new(*name, *kind)).collect();
        Arc::new(Law::new(self.formula, params).unwrap())
    }

    /// Parameter values.
    pub fn theta(&self) -> Vec<f64> {
        self.params.iter().map(|p| p.2).collect()
    }

    /// Input columns in the law's order.
    pub fn columns(&self, law: &Law, rows: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut random = Random::new(seed);
        let column = |name: &String| {
            let (_, lo, hi) = self.inputs.iter().find(|i| i.0 == name).expect("a known input");
            (0..rows).map(|_| random.log_between(*lo, *hi)).collect()
        };
        law.inputs().iter().map(column).collect()
    }
}
