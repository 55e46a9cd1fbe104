//! Scrambled Sobol points: starts that cover the ranges of all parameters evenly.
//!
//! Points follow the direction numbers of Joe and Kuo (2008) for the first 256 dimensions, in Gray code
//! order, with 53 bits. They are scrambled by nested uniform scrambling (Owen, "Randomly permuted
//! (t,m,s)-nets and (t,s)-sequences", 1995), exactly, not by one of its cheaper approximations: each binary
//! digit of a coordinate is flipped, or not, by a random bit that belongs to the dimension and to all digits
//! before it. Scrambled points keep the even coverage of the sequence (every elementary interval holds as
//! many as before, up to a permutation), each single point is uniform, and the same seed gives the same
//! points whatever their number.
//!
//! The random bits are those of the counter-based generator in [`rng`](super::rng): nothing is stored, so
//! point `i` is computed without the points before it.
//!
//! Coordinates of dimensions beyond 256 are independent uniform values keyed by the seed, the dimension and
//! the point.

use super::rng::{COORDINATE, SCRAMBLE, philox, unit_interval};

#[cfg(test)]
mod tests;

/// Dimensions with direction numbers; coordinates of further ones are independent uniform values.
pub const SOBOL_DIMENSIONS: usize = 256;

/// Binary digits of a coordinate, as many as an `f64` in `[0, 1)` resolves everywhere.
const BITS: usize = 53;

/// Digits whose flips come out of one block of the generator: a binary tree of this depth has 255 inner
/// nodes, and a block 256 bits.
const DIGITS_PER_BLOCK: usize = 8;

const DIRECTIONS: &str = include_str!("sobol/directions.txt");

/// A scrambled Sobol sequence.
///
/// # Examples
///
/// ```
/// use scalinglaws_core::search::sobol::Sobol;
///
/// let sequence = Sobol::new(2, 7);
/// let mut counts = [[0; 4]; 4];
/// let mut point = [0.0; 2];
/// for i in 0..16 {
///     sequence.point(i, &mut point);
///     counts[(4.0 * point[0]) as usize][(4.0 * point[1]) as usize] += 1;
/// }
/// assert_eq!(counts, [[1; 4]; 4]); // one of 16 points in each of 16 squares
/// ```
#[derive(Clone, Debug)]
pub struct Sobol {
    dim: usize,
    seed: u64,
    /// For each dimension up to 256 the direction numbers, as fractions of 2^53.
    directions: Vec<[u64; BITS]>,
}

impl Sobol {
    /// A sequence of points with `dim` coordinates, scrambled by the seed.
    ///
    /// Coordinate `j` depends on `seed` and `j`, not on `dim`.
    #[must_use]
    pub fn new(dim: usize, seed: u64) -> Self {
        Self { dim, seed, directions: direction_numbers(dim.min(SOBOL_DIMENSIONS)) }
    }

    /// Number of coordinates of a point.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// Writes point `index` to `point`; coordinates are in `[0, 1)`.
    ///
    /// Sequences are evenest over aligned blocks of a power of two of points: `0..512`, say, or `512..1024`.
    ///
    /// # Panics
    ///
    /// If `point` does not have [`dim`](Self::dim) entries, or `index` is not below 2^53.
    pub fn point(&self, index: u64, point: &mut [f64]) {
        assert_eq!(point.len(), self.dim, "point: wrong number of coordinates");
        assert!(index >> BITS == 0, "point: the index must be below 2^53");
        for (dimension, coordinate) in point.iter_mut().enumerate() {
            let key = [self.seed, dimension as u64];
            *coordinate = match self.directions.get(dimension) {
                Some(directions) => fraction(scramble(digits(directions, index), key)),
                None => unit_interval(philox([index, 0, 0, COORDINATE], key)[0]),
            };
        }
    }
}

/// The first `n` points of a scrambled Sobol sequence, row-major: `n` rows of `dim` coordinates in `[0, 1)`.
///
/// # Examples
///
/// ```
/// use scalinglaws_core::search::sobol::sobol;
///
/// let points = sobol(512, 5, 0);
/// assert_eq!(points.len(), 512 * 5);
/// assert!(points.iter().all(|x| (0.0..1.0).contains(x)));
/// ```
#[must_use]
pub fn sobol(n: usize, dim: usize, seed: u64) -> Vec<f64> {
    let sequence = Sobol::new(dim, seed);
    let mut points = vec![0.0; n * dim];
    if dim > 0 {
        for (index, point) in points.chunks_exact_mut(dim).enumerate() {
            sequence.point(index as u64, point);
        }
    }
    points
}

/// Digits of a coordinate before scrambling: the sum, without carries, of the direction numbers that the
/// Gray code of the index selects.
fn digits(directions: &[u64; BITS], index: u64) -> u64 {
    let mut selected = index ^ (index >> 1);
    let mut digits = 0;
    while selected != 0 {
        digits ^= directions[selected.trailing_zeros() as usize];
        selected &= selected - 1;
    }
    digits
}

/// Flips each digit by the random bit of its place in the tree of digits.
fn scramble(digits: u64, key: [u64; 2]) -> u64 {
    let mut scrambled = 0;
    let mut done = 0;
    while done < BITS {
        let count = DIGITS_PER_BLOCK.min(BITS - done);
        let before = digits >> (BITS - done);
        let block = philox([before, done as u64, 0, SCRAMBLE], key);
        // Nodes are numbered as in a heap: the root is 1, the children of `node` are 2 node and 2 node + 1.
        let mut node = 1;
        for _ in 0..count {
            done += 1;
            let digit = digits >> (BITS - done) & 1;
            let flip = block[node >> 6] >> (node & 63) & 1;
            scrambled = scrambled << 1 | (digit ^ flip);
            node = node << 1 | digit as usize;
        }
    }
    scrambled
}

fn fraction(digits: u64) -> f64 {
    digits as f64 / (1_u64 << BITS) as f64
}

/// Direction numbers of the first `count` dimensions, from the polynomials and initial numbers of the table.
fn direction_numbers(count: usize) -> Vec<[u64; BITS]> {
    let rows = DIRECTIONS.lines().filter(|line| !line.starts_with('#'));
    // The first dimension is the van der Corput sequence, which has no polynomial.
    let first = std::array::from_fn(|bit| 1 << (BITS - 1 - bit));
    std::iter::once(first).chain(rows.map(recurrence)).take(count).collect()
}

/// Direction numbers from a row of the table: dimension, degree, inner coefficients, initial numbers.
fn recurrence(row: &str) -> [u64; BITS] {
    let mut fields = row.split(' ').map(|field| field.parse().expect("the table holds integers"));
    let mut next = || -> u64 { fields.next().expect("rows of the table are complete") };
    let _dimension = next();
    let degree = next() as usize;
    let inner = next();
    let mut directions = [0; BITS];
    for (bit, direction) in directions[..degree].iter_mut().enumerate() {
        *direction = next() << (BITS - 1 - bit);
    }
    for bit in degree..BITS {
        let earlier = directions[bit - degree];
        directions[bit] = earlier ^ (earlier >> degree);
        for lag in 1..degree {
            if inner >> (degree - 1 - lag) & 1 == 1 {
                directions[bit] ^= directions[bit - lag];
            }
        }
    }
    directions
}
