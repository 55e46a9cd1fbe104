//! Random streams that are functions of a seed and an index.
//!
//! Replicate or start number `index` of a run draws from `Stream::new(seed, index)` whichever thread handles
//! it, in whatever order, and alone or among others: results do not depend on the schedule.
//!
//! The generator is Philox 4x64 with ten rounds (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
//! easy as 1, 2, 3", SC11): a keyed bijection of 256-bit counters, with the pair `(seed, index)` as its
//! 128-bit key. Sequential generators would have to be seeded through a hash and rely on it to keep
//! neighbouring streams apart; here that is what the generator was designed and tested for (`BigCrush`, also
//! across keys), there is no state to warm up, and `numpy.random.Philox` produces the same words. Each key has
//! a period of 2^66 words here.

/// The last word of the counter tells the uses of one key apart, so they never share a block.
pub(super) const DRAWS: u64 = 0;
const SPLIT: u64 = 1;
pub(super) const SCRAMBLE: u64 = 2;
pub(super) const COORDINATE: u64 = 3;

/// Four random words for a counter under a key.
pub(super) fn philox(counter: [u64; 4], key: [u64; 2]) -> [u64; 4] {
    const MULTIPLIERS: [u64; 2] = [0xd2e7470ee14c6c93, 0xca5a826395121157];
    const INCREMENTS: [u64; 2] = [0x9e3779b97f4a7c15, 0xbb67ae8584caa73b];
    let [mut a, mut b, mut c, mut d] = counter;
    let [mut k, mut l] = key;
    for _ in 0..10 {
        let (low_a, high_a) = wide_product(a, MULTIPLIERS[0]);
        let (low_c, high_c) = wide_product(c, MULTIPLIERS[1]);
        (a, b, c, d) = (high_c ^ b ^ k, low_c, high_a ^ d ^ l, low_a);
        k = k.wrapping_add(INCREMENTS[0]);
        l = l.wrapping_add(INCREMENTS[1]);
    }
    [a, b, c, d]
}

/// Low and high word of a product.
fn wide_product(x: u64, y: u64) -> (u64, u64) {
    let product = u128::from(x) * u128::from(y);
    (product as u64, (product >> 64) as u64)
}

/// A uniform value in `[0, 1)` on the grid of multiples of 2^-53, from the leading bits of a word.
pub(super) fn unit_interval(word: u64) -> f64 {
    (word >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// A stream of random numbers keyed by a seed and an index.
///
/// Equal keys give equal streams, on every machine. Different keys give streams that are independent for
/// every practical purpose, also when seeds or indices are neighbours.
///
/// # Examples
///
/// ```
/// use scalinglaws_core::search::rng::Stream;
///
/// let mut replicate = Stream::new(1, 250);
/// let row = replicate.below(1000);
/// let noise = replicate.normal();
/// let mut again = Stream::new(1, 250);
/// assert_eq!((row, noise), (again.below(1000), again.normal()));
/// ```
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u64; 2],
    next_block: u64,
    block: [u64; 4],
    /// Words of `block` already handed out.
    used: usize,
    /// Normal deviates come in pairs; the second waits here.
    second_normal: Option<f64>,
}

impl Stream {
    /// The stream of a seed and an index.
    #[must_use]
    pub const fn new(seed: u64, index: u64) -> Self {
        Self { key: [seed, index], next_block: 0, block: [0; 4], used: 4, second_normal: None }
    }

    /// A stream for a part of the work, keyed by this stream's key and the number of the part.
    ///
    /// It is the same however much has been drawn from `self`, and independent of it, of the streams of
    /// other parts and (short of a coincidence of 128 random bits) of every stream with a key of its own.
    #[must_use]
    pub fn split(&self, part: u64) -> Self {
        let [seed, index, ..] = philox([part, 0, 0, SPLIT], self.key);
        Self::new(seed, index)
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        if self.used == 4 {
            self.block = philox([self.next_block, 0, 0, DRAWS], self.key);
            self.next_block = self.next_block.wrapping_add(1);
            self.used = 0;
        }
        let word = self.block[self.used];
        self.used += 1;
        word
    }

    /// A uniform value in `[0, 1)`: a multiple of 2^-53, all equally likely.
    #[inline]
    pub fn next_f64(&mut self) -> f64 {
        unit_interval(self.next_u64())
    }

    /// A uniform integer in `0..n`, without bias.
    ///
    /// Multiplies a random word by `n` and keeps the upper half; the few words that would favour some results
    /// are rejected (Lemire, "Fast random integer generation in an interval", 2019).
    ///
    /// # Panics
    ///
    /// If `n` is zero.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "below: the range is empty");
        let (mut low, mut high) = wide_product(self.next_u64(), n);
        if low < n {
            let excess = n.wrapping_neg() % n;
            while low < excess {
                (low, high) = wide_product(self.next_u64(), n);
            }
        }
        high
    }

    /// A standard normal deviate.
    ///
    /// Marsaglia's polar method: two deviates for each point accepted in the unit disc, with the logarithm
    /// computed in software so that every machine gives the same bits.
    pub fn normal(&mut self) -> f64 {
        if let Some(second) = self.second_normal.take() {
            return second;
        }
        loop {
            let x = 2.0 * self.next_f64() - 1.0;
            let y = 2.0 * self.next_f64() - 1.0;
            let squares = x * x + y * y;
            if squares < 1.0 && squares > 0.0 {
                let factor = (-2.0 * libm::log(squares) / squares).sqrt();
                self.second_normal = Some(y * factor);
                return x * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both the size of samples below and, inverted, the variance of their correlations.
    const DRAWN: usize = 20_000;

    fn uniforms(mut stream: Stream, count: usize) -> Vec<f64> {
        (0..count).map(|_| stream.next_f64()).collect()
    }

    /// Correlation of uniform samples with known mean 1/2 and variance 1/12.
    fn correlation(x: &[f64], y: &[f64]) -> f64 {
        let sum: f64 = x.iter().zip(y).map(|(x, y)| (x - 0.5) * (y - 0.5)).sum();
        12.0 * sum / x.len() as f64
    }

    fn chi_square(counts: &[u32]) -> f64 {
        let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn philox_gives_the_published_known_answers() {
        // The three vectors of philox4x64-10 that accompany the authors' Random123 library; NumPy agrees.
        let ones = u64::MAX;
        let cases = [
            ([0; 4], [0; 2], [0x16554d9eca36314c, 0xdb20fe9d672d0fdc, 0xd7e772cee186176b, 0x7e68b68aec7ba23b]),
            ([ones; 4], [ones; 2], [0x87b092c3013fe90b, 0x438c3c67be8d0224, 0x9cc7d7c69cd777b6, 0xa09caebf594f0ba0]),
            (
                [0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89],
                [0x452821e638d01377, 0xbe5466cf34e90c6c],
                [0xa528f45403e61d95, 0x38c72dbd566e9788, 0xa5a1610e72fd18b5, 0x57bd43b5e52b7fe6],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox(counter, key), expected);
        }
    }

    #[test]
    fn words_are_those_of_numpy_with_the_same_key() {
        // numpy.random.Philox(key=[42, 7]) with its counter one before zero: it advances before it draws.
        let mut stream = Stream::new(42, 7);
        let expected = [
            0x2fd1bc0d2c8697bb,
            0x8ee17f67a549bba6,
            0x1bdce1f847e7df47,
            0xe123b6bbe4e89f03,
            0xa64064f34e84b9a3,
            0xe287959a866a08fd,
        ];
        for word in expected {
            assert_eq!(stream.next_u64(), word);
        }
        let expected = [0x837e71db86d30c1c, 0x5da5db90e592f5f7];
        assert_eq!(Stream::new(42, 7).split(5).key, expected);
    }

    #[test]
    fn derived_values_do_not_change_between_versions() {
        let mut stream = Stream::new(2024, 3);
        let floats = [stream.next_f64(), stream.next_f64()];
        let integers = [stream.below(10), stream.below(1000), stream.below(1 << 40)];
        let normals = [stream.normal(), stream.normal(), stream.normal()];
        let child = stream.split(9).next_u64();
        assert_eq!(floats, [0.7636328762813087, 0.9717631434895975]);
        assert_eq!(integers, [7, 354, 199383935151]);
        assert_eq!(normals, [-1.2355080845091269, -0.22631483558199347, -0.07541297679816289]);
        assert_eq!(child, 0xa6cac3a20e9178a9);
    }

    #[test]
    fn uniform_values_stay_below_one_and_use_53_bits() {
        assert_eq!(unit_interval(0), 0.0);
        assert_eq!(unit_interval(u64::MAX), 1.0 - f64::EPSILON / 2.0);
        assert_eq!(unit_interval(1 << 11), f64::EPSILON / 2.0);
        assert!(uniforms(Stream::new(0, 0), DRAWN).iter().all(|x| (0.0..1.0).contains(x)));
    }

    #[test]
    fn uniform_values_fill_bins_evenly_within_and_across_streams() {
        // 255 degrees of freedom: mean 255, standard deviation 22.6.
        let within = uniforms(Stream::new(5, 1), 1 << 16);
        let across: Vec<f64> = (0..1 << 16).map(|i| Stream::new(5, i).next_f64()).collect();
        let seeds: Vec<f64> = (0..1 << 16).map(|seed| Stream::new(seed, 0).next_f64()).collect();
        for sample in [within, across, seeds] {
            let mut counts = [0; 256];
            for x in sample {
                counts[(x * 256.0) as usize] += 1;
            }
            let statistic = chi_square(&counts);
            assert!((165.0..345.0).contains(&statistic), "{statistic}");
        }
    }

    #[test]
    fn every_bit_of_a_word_is_fair() {
        let mut stream = Stream::new(8, 8);
        let mut ones = [0_i32; 64];
        for _ in 0..DRAWN {
            let word = stream.next_u64();
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += (word >> bit & 1) as i32;
            }
        }
        for count in ones {
            let deviation = f64::from(count) - DRAWN as f64 / 2.0;
            assert!(deviation.abs() < 4.5 * (DRAWN as f64 / 4.0).sqrt());
        }
    }

    #[test]
    fn neighbouring_streams_are_uncorrelated() {
        let limit = 4.5 / (DRAWN as f64).sqrt();
        for index in [0, 1, 1000, u64::MAX - 1] {
            let base = uniforms(Stream::new(17, index), DRAWN);
            let others = [
                Stream::new(17, index + 1),
                Stream::new(18, index),
                Stream::new(index, 17),
                Stream::new(17, index).split(0),
                Stream::new(17, index).split(1),
            ];
            for other in others {
                let other = uniforms(other, DRAWN);
                assert!(correlation(&base, &other).abs() < limit);
                assert!(correlation(&base[1..], &other[..DRAWN - 1]).abs() < limit);
                assert!(correlation(&base[..DRAWN - 1], &other[1..]).abs() < limit);
            }
            assert!(correlation(&base[1..], &base[..DRAWN - 1]).abs() < limit);
        }
    }

    #[test]
    fn one_bit_of_the_key_changes_half_the_bits_of_the_stream() {
        let mut base = Stream::new(0, 0);
        let words: Vec<u64> = (0..64).map(|_| base.next_u64()).collect();
        for bit in 0..128 {
            let (seed, index) = if bit < 64 { (1 << bit, 0) } else { (0, 1 << (bit - 64)) };
            let mut other = Stream::new(seed, index);
            let changed: u32 = words.iter().map(|word| (word ^ other.next_u64()).count_ones()).sum();
            // 4096 fair bits: mean 2048, standard deviation 32.
            assert!((1888..2208).contains(&changed), "{bit}: {changed}");
        }
    }

    #[test]
    fn a_split_does_not_depend_on_what_was_drawn() {
        let mut stream = Stream::new(3, 4);
        let before = stream.split(2).next_u64();
        stream.normal();
        assert_eq!(stream.split(2).next_u64(), before);
        assert_ne!(stream.split(3).next_u64(), before);
        assert_ne!(stream.split(2).split(2).next_u64(), before);
        assert_ne!(Stream::new(3, 5).split(2).next_u64(), before);
    }

    #[test]
    fn a_clone_continues_as_the_original_does() {
        let mut stream = Stream::new(1, 2);
        stream.normal();
        let mut copy = stream.clone();
        assert_eq!(copy.normal(), stream.normal());
        assert_eq!(copy.next_u64(), stream.next_u64());
    }

    #[test]
    fn integers_are_uniform_over_their_range() {
        for n in [1_u64, 2, 3, 7, 10] {
            let mut counts = vec![0; n as usize];
            let mut stream = Stream::new(6, n);
            for _ in 0..DRAWN {
                counts[stream.below(n) as usize] += 1;
            }
            // At most 9 degrees of freedom: 40 has probability below 1e-5.
            assert!(chi_square(&counts) < 40.0, "{counts:?}");
        }
    }

    #[test]
    fn integers_of_a_range_that_does_not_divide_the_words_are_unbiased() {
        // Taking words modulo 3 * 2^62 would give the first third of the range twice the weight.
        let n = 3 << 62;
        let mut stream = Stream::new(12, 0);
        let first = (0..DRAWN).filter(|_| stream.below(n) < n / 3).count();
        let deviation = first as f64 - DRAWN as f64 / 3.0;
        assert!(deviation.abs() < 4.5 * (DRAWN as f64 * 2.0 / 9.0).sqrt());
        for n in [u64::MAX, (1 << 63) + 1] {
            assert!((0..100).all(|_| stream.below(n) < n));
        }
    }

    #[test]
    #[should_panic(expected = "the range is empty")]
    fn an_empty_range_has_no_integers() {
        Stream::new(0, 0).below(0);
    }

    #[test]
    fn normal_deviates_follow_the_normal_distribution() {
        let mut stream = Stream::new(21, 0);
        let mut sample: Vec<f64> = (0..DRAWN).map(|_| stream.normal()).collect();
        let moment = |power| sample.iter().map(|x| x.powi(power)).sum::<f64>() / DRAWN as f64;
        let limit = |variance: f64| 4.5 * (variance / DRAWN as f64).sqrt();
        assert!(moment(1).abs() < limit(1.0));
        assert!((moment(2) - 1.0).abs() < limit(2.0));
        assert!(moment(3).abs() < limit(15.0));
        assert!((moment(4) - 3.0).abs() < limit(96.0));
        let pairs = sample.chunks_exact(2).map(|pair| pair[0] * pair[1]).sum::<f64>();
        assert!((2.0 * pairs / DRAWN as f64).abs() < 4.5 / (DRAWN as f64 / 2.0).sqrt());
        // Kolmogorov's statistic exceeds 2.23 with probability 1e-4.
        sample.sort_by(f64::total_cmp);
        let distance = sample.iter().enumerate().fold(0.0_f64, |distance, (i, &x)| {
            let below = 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
            distance.max((below - (i as f64 + 0.5) / DRAWN as f64).abs())
        });
        assert!(distance * (DRAWN as f64).sqrt() < 2.23, "{distance}");
    }
}
