//! Robust losses and their derivatives, per residual.

use thiserror::Error;

/// Loss of one residual `r = T(y) - T(f)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// `r^2 / 2`
    Squared,
    /// `r^2 / 2` up to `delta`, then linear.
    Huber(f64),
    /// `s^2 (sqrt(1 + (r/s)^2) - 1)`
    SoftL1(f64),
    /// `s^2/2 log(1 + (r/s)^2)`
    Cauchy(f64),
    /// `|r|`
    Absolute,
    /// `tau r` above, `(tau - 1) r` below.
    Quantile(f64),
}

/// A loss that cannot be.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum LossError {
    /// No such name.
    #[error("unknown loss {0:?}: choose squared, huber, soft_l1, cauchy, absolute or quantile")]
    Unknown(String),
    /// Scale not positive and finite.
    #[error("the scale of the {0} loss must be positive and finite, not {1}")]
    Scale(&'static str, f64),
    /// Quantile level outside (0, 1).
    #[error("the level of the quantile loss must lie between 0 and 1, not {0}")]
    Level(f64),
}

impl Loss {
    /// Loss by name and scale (delta, scale or tau; ignored where there is none).
    ///
    /// # Errors
    /// When the name is unknown or the scale is out of range.
    pub fn new(name: &str, scale: f64) -> Result<Self, LossError> {
        let positive =
            |label| if scale > 0.0 && scale.is_finite() { Ok(scale) } else { Err(LossError::Scale(label, scale)) };
        Ok(match name {
            "squared" => Self::Squared,
            "huber" => Self::Huber(positive("huber")?),
            "soft_l1" => Self::SoftL1(positive("soft_l1")?),
            "cauchy" => Self::Cauchy(positive("cauchy")?),
            "absolute" => Self::Absolute,
            "quantile" if scale > 0.0 && scale < 1.0 => Self::Quantile(scale),
            "quantile" => return Err(LossError::Level(scale)),
            _ => return Err(LossError::Unknown(name.to_owned())),
        })
    }

    /// Scale below which a residual counts as small, for the losses that have one.
    pub fn scale(self) -> Option<f64> {
        match self {
            Self::Huber(s) | Self::SoftL1(s) | Self::Cauchy(s) => Some(s),
            Self::Squared | Self::Absolute | Self::Quantile(_) => None,
        }
    }

    /// Whether the loss has a kink at zero, so that the optimum interpolates some rows.
    pub fn has_kink(self) -> bool {
        matches!(self, Self::Absolute | Self::Quantile(_))
    }

    /// The loss as the kernel evaluates it, with its scale widened to `width` where that is larger: the path on
    /// which the solver approaches a robust optimum. A loss with a kink is smoothed to that width.
    pub fn kernel(self, width: f64, above: f64) -> Kernel {
        let mut kernel = Kernel { shape: Shape::Squared, scale: 1.0, inverse: 1.0, factor: 1.0, above };
        let mut set = |shape, scale: f64| {
            kernel.shape = shape;
            kernel.scale = scale;
            kernel.inverse = 1.0 / scale;
        };
        match self {
            Self::Squared => {}
            Self::Huber(s) => set(Shape::Huber, s.max(width)),
            Self::SoftL1(s) => set(Shape::SoftL1, s.max(width)),
            Self::Cauchy(s) => set(Shape::Cauchy, s.max(width)),
            Self::Absolute | Self::Quantile(_) => {
                set(if width > 0.0 { Shape::Huber } else { Shape::Kink }, width);
                // A quantile weighs the two sides differently; smoothed side by side, the minimum stays at zero.
                let (below, ratio) =
                    if let Self::Quantile(tau) = self { (1.0 - tau, tau / (1.0 - tau)) } else { (1.0, 1.0) };
                kernel.factor = if width > 0.0 { below / width } else { below };
                kernel.above *= ratio;
            }
        }
        kernel
    }
}

/// Shape of a kernel's loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Quadratic.
    Squared,
    /// Quadratic, then linear.
    Huber,
    /// Smooth absolute value.
    SoftL1,
    /// Logarithmic tails.
    Cauchy,
    /// Absolute value; its second derivative counts as zero.
    Kink,
}

/// Everything the row kernel needs: `factor * shape(r; scale)`, times `above` where `r > 0`.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Shape.
    pub shape: Shape,
    /// Scale of the shape.
    pub scale: f64,
    inverse: f64,
    factor: f64,
    /// Weight of rows above the law.
    pub above: f64,
}

/// Loss of one residual with its derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Local {
    /// Loss.
    pub rho: f64,
    /// First derivative.
    pub psi: f64,
    /// Weight of iteratively reweighted least squares: `psi / r`.
    pub weight: f64,
    /// Second derivative.
    pub curvature: f64,
}

impl Kernel {
    /// Whether [`Kernel::at`] needs the reciprocal of the residual's size for its weight.
    pub(super) fn needs_inverse(shape: Shape) -> bool {
        matches!(shape, Shape::Huber | Shape::Kink)
    }

    /// Loss and derivatives at `r`, branch-free; `inverse` is `1 / |r|` where the shape needs it for the weight.
    #[inline(always)]
    pub fn at(&self, shape: Shape, r: f64, inverse: f64) -> Local {
        let side = if r > 0.0 { self.above } else { 1.0 };
        let scaled = r * self.inverse;
        let size = r.abs();
        let (rho, psi, weight, curvature) = match shape {
            Shape::Squared => (0.5 * r * r, r, 1.0, 1.0),
            Shape::Huber => {
                let inside = size <= self.scale;
                let near = if inside { size } else { self.scale };
                let weight = if inside { 1.0 } else { self.scale * inverse };
                // Quadratic up to the scale and linear from there in one expression.
                (near * (size - 0.5 * near), near.copysign(r), weight, if inside { 1.0 } else { 0.0 })
            }
            Shape::SoftL1 => {
                let root = (1.0 + scaled * scaled).sqrt();
                let weight = 1.0 / root;
                // s^2 (root - 1) without cancellation for small residuals.
                (r * r / (1.0 + root), r * weight, weight, weight * weight * weight)
            }
            Shape::Cauchy => {
                let q = scaled * scaled;
                let weight = 1.0 / (1.0 + q);
                let rho = 0.5 * self.scale * self.scale * crate::math::log1p::<false>(q);
                (rho, r * weight, weight, (1.0 - q) * weight * weight)
            }
            Shape::Kink => {
                let sign = if r == 0.0 { 0.0 } else { 1f64.copysign(r) };
                (size, sign, if r == 0.0 { 0.0 } else { inverse }, 0.0)
            }
        };
        let f = self.factor * side;
        Local { rho: f * rho, psi: f * psi, weight: f * weight, curvature: f * curvature }
    }
}
