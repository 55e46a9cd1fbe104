//! Operations on vectors that the factorisations share.

/// Inner product of two vectors.
///
/// Four partial sums are kept: a single one would oblige the compiler to add in sequence, without vector
/// instructions.
///
/// # Panics
///
/// If the lengths differ.
#[inline]
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len(), "dot: lengths differ");
    let mut sums = [0.0; 4];
    let (x_blocks, x_rest) = x.as_chunks::<4>();
    let (y_blocks, y_rest) = y.as_chunks::<4>();
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for lane in 0..4 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let mut rest = 0.0;
    for (x, y) in x_rest.iter().zip(y_rest) {
        rest += x * y;
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3]) + rest
}

/// Adds `factor * x` to `y`.
///
/// # Panics
///
/// If the lengths differ.
#[inline]
pub fn axpy(factor: f64, x: &[f64], y: &mut [f64]) {
    assert_eq!(x.len(), y.len(), "axpy: lengths differ");
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// Euclidean length of a vector, without overflow or underflow of the squares.
///
/// Infinite if an entry is infinite, otherwise NaN if an entry is NaN.
pub fn norm(x: &[f64]) -> f64 {
    let direct = dot(x, x);
    // Squares in this range lost no accuracy: entries too small to be squared do not matter to the sum.
    if (1e-280..1e300).contains(&direct) {
        return direct.sqrt();
    }
    let largest = x.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    if largest == 0.0 || largest.is_infinite() {
        // `max` passes over NaN, and a vector of zeros and NaN is not zero.
        return if largest == 0.0 { direct } else { largest };
    }
    let scale = normaliser(largest);
    let sum: f64 = x.iter().map(|x| (x * scale) * (x * scale)).sum();
    sum.sqrt() / scale
}

/// Largest absolute value of the entries, or `None` if one is not finite.
pub(super) fn largest_magnitude(x: &[f64]) -> Option<f64> {
    let mut largest = 0.0_f64;
    // The product with zero is NaN exactly for what is not finite; testing each entry would cost a branch.
    let mut poison = 0.0;
    for x in x {
        largest = largest.max(x.abs());
        poison += x * 0.0;
    }
    (poison == 0.0).then_some(largest)
}

/// A power of two whose product with `x > 0` is in `[1, 2)`, or as near to it as the exponent range admits.
///
/// Scaling by it, and by its reciprocal, is exact.
pub(super) fn normaliser(x: f64) -> f64 {
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let negated = (-exponent).clamp(-1022, 1022);
    f64::from_bits(u64::from((negated + 1023) as u32) << 52)
}
