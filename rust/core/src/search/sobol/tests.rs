//! Against `scipy.stats.qmc` before scrambling; against the properties that scrambling keeps after it.

use super::*;
use crate::search::rng::Stream;

const GOLDEN: &str = include_str!("golden.txt");

fn unscrambled(n: u64, dim: usize) -> Vec<Vec<u64>> {
    let directions = direction_numbers(dim);
    (0..n).map(|i| directions.iter().map(|directions| digits(directions, i)).collect()).collect()
}

fn scrambled(first: u64, n: u64, dim: usize, seed: u64) -> Vec<Vec<u64>> {
    let sequence = Sobol::new(dim, seed);
    let mut point = vec![0.0; dim];
    (first..first + n)
        .map(|i| {
            sequence.point(i, &mut point);
            point.iter().map(|x| (x * (1_u64 << BITS) as f64) as u64).collect()
        })
        .collect()
}

/// Points in each box with sides 2^-shape, in the order of the boxes.
fn box_counts(points: &[Vec<u64>], dimensions: &[usize], shape: &[u32]) -> Vec<usize> {
    let mut counts = vec![0; 1 << shape.iter().sum::<u32>()];
    for point in points {
        let place = dimensions.iter().zip(shape).fold(0, |place, (&dimension, &bits)| {
            (place << bits) | (point[dimension] >> (BITS as u32 - bits)) as usize
        });
        counts[place] += 1;
    }
    counts
}

/// Squared star discrepancy in the mean, by Warnock's formula.
fn squared_discrepancy(points: &[f64], dim: usize) -> f64 {
    let n = points.len() as f64 / dim as f64;
    let mut single = 0.0;
    let mut double = 0.0;
    for x in points.chunks_exact(dim) {
        single += x.iter().map(|x| 0.5 * (1.0 - x * x)).product::<f64>();
        for y in points.chunks_exact(dim) {
            double += x.iter().zip(y).map(|(x, y)| 1.0 - x.max(*y)).product::<f64>();
        }
    }
    3.0_f64.powf(-(dim as f64)) - 2.0 * single / n + double / (n * n)
}

#[test]
fn direction_numbers_are_those_of_scipy() {
    let golden = GOLDEN.lines().find_map(|line| line.strip_prefix("checksum ")).unwrap();
    let checksum = direction_numbers(SOBOL_DIMENSIONS)
        .iter()
        .flatten()
        .fold(0_u64, |sum, direction| sum.wrapping_mul(6364136223846793005).wrapping_add(*direction));
    assert_eq!(checksum, golden.parse().unwrap());
}

#[test]
fn unscrambled_points_are_those_of_scipy() {
    let points = unscrambled(64, SOBOL_DIMENSIONS);
    let mut compared = 0;
    for line in GOLDEN.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 65);
        for (point, expected) in points.iter().zip(&numbers[1..]) {
            let coordinate = fraction(point[numbers[0] as usize - 1]);
            assert_eq!(64.0 * coordinate, *expected as f64, "dimension {}", numbers[0]);
            compared += 1;
        }
    }
    assert_eq!(compared, 15 * 64);
}

#[test]
fn the_table_covers_all_dimensions_with_valid_numbers() {
    let directions = direction_numbers(usize::MAX);
    assert_eq!(directions.len(), SOBOL_DIMENSIONS);
    for directions in directions {
        for (bit, direction) in directions.iter().enumerate() {
            // Number `bit` has exactly its first bit + 1 digits, the last of them one.
            assert_eq!(direction.trailing_zeros() as usize, BITS - 1 - bit);
            assert_eq!(direction >> BITS, 0);
        }
    }
}

#[test]
fn scrambled_points_are_those_of_an_independent_implementation() {
    let mut compared = 0;
    for line in GOLDEN.lines().filter_map(|line| line.strip_prefix("scrambled ")) {
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [seed, index, dimension, expected] = numbers[..] else {
            panic!("{line}");
        };
        let mut point = vec![0.0; dimension as usize];
        Sobol::new(point.len(), seed).point(index, &mut point);
        assert_eq!(point[point.len() - 1], fraction(expected), "{line}");
        compared += 1;
    }
    assert_eq!(compared, 15);
}

#[test]
fn every_dimension_has_one_point_in_each_interval() {
    for seed in [0, u64::MAX] {
        for (first, k) in [(0, 0), (0, 1), (0, 8), (256 * 37, 8)] {
            let points = scrambled(first, 1 << k, SOBOL_DIMENSIONS, seed);
            for dimension in 0..SOBOL_DIMENSIONS {
                let counts = box_counts(&points, &[dimension], &[k]);
                assert!(counts.iter().all(|&count| count == 1), "{seed} {first} {k} {dimension}");
            }
        }
    }
}

#[test]
fn the_first_two_dimensions_have_one_point_in_every_elementary_box() {
    // They form a (0, 2)-sequence in base two.
    for seed in 0..8 {
        for (first, k) in [(0, 6), (0, 10), (1024, 10), (7 * 256, 8)] {
            let points = scrambled(first, 1 << k, 2, seed);
            for split in 0..=k {
                let counts = box_counts(&points, &[0, 1], &[split, k - split]);
                assert!(counts.iter().all(|&count| count == 1), "{seed} {first} {k} {split}");
            }
        }
    }
}

#[test]
fn scrambling_permutes_the_boxes_of_any_few_dimensions() {
    // Nested scrambling maps elementary boxes to elementary boxes of the same shape, so whatever the quality
    // of the net is, sorted counts stay what they were.
    let k = 8;
    let plain = unscrambled(1 << k, 24);
    let sorted = |points: &[Vec<u64>], dimensions: &[usize], shape: &[u32]| {
        let mut counts = box_counts(points, dimensions, shape);
        counts.sort_unstable();
        counts
    };
    for seed in [3, 4] {
        let points = scrambled(0, 1 << k, 24, seed);
        for second in 1..24 {
            for first in 0..second {
                for split in 0..=k {
                    let (dimensions, shape) = ([first, second], [split, k - split]);
                    let expected = sorted(&plain, &dimensions, &shape);
                    assert_eq!(sorted(&points, &dimensions, &shape), expected, "{seed} {dimensions:?} {shape:?}");
                }
            }
            let (dimensions, shape) = ([0, second, (second + 7) % 24], [3, 3, 2]);
            assert_eq!(sorted(&points, &dimensions, &shape), sorted(&plain, &dimensions, &shape));
        }
    }
}

#[test]
fn scrambling_keeps_and_separates_common_leading_digits() {
    // Two numbers that first differ in some digit still first differ in that digit.
    let mut stream = Stream::new(1, 1);
    for _ in 0..2000 {
        let key = [stream.next_u64(), stream.below(256)];
        let x = stream.next_u64() >> (64 - BITS);
        let y = x ^ (stream.next_u64() >> (64 - BITS + stream.below(BITS as u64) as usize));
        let (sx, sy) = (scramble(x, key), scramble(y, key));
        assert_eq!((sx ^ sy).leading_zeros(), (x ^ y).leading_zeros());
    }
}

#[test]
fn flips_are_fair_and_independent_across_seeds_and_places() {
    // For a fixed number the flips of its 53 digits are 53 fair bits over seeds; after a digit that differs,
    // those of another number are independent of them.
    let n = 4000_u32;
    let limit = 4.5 * (f64::from(n) / 4.0).sqrt();
    let (x, y) = (0x0a_bcde_f012_3456_u64, 0x1a_bcde_f012_3456_u64);
    let mut flipped = [0; BITS];
    let mut same = [0; BITS];
    for seed in 0..n {
        let of_x = scramble(x, [seed.into(), 3]) ^ x;
        let of_y = scramble(y, [seed.into(), 3]) ^ y;
        for bit in 0..BITS {
            flipped[bit] += (of_x >> bit & 1) as u32;
            same[bit] += ((of_x ^ of_y) >> bit & 1) as u32;
        }
    }
    for bit in 0..BITS {
        assert!((f64::from(flipped[bit]) - f64::from(n) / 2.0).abs() < limit, "{bit}");
        if bit == BITS - 1 {
            assert_eq!(same[bit], 0);
        } else {
            assert!((f64::from(same[bit]) - f64::from(n) / 2.0).abs() < limit, "{bit}");
        }
    }
}

#[test]
fn a_point_does_not_depend_on_the_number_of_points_or_dimensions() {
    let points = sobol(100, 300, 9);
    let mut wide = [0.0; 300];
    let mut narrow = [0.0; 5];
    for i in [0, 1, 17, 99] {
        Sobol::new(300, 9).point(i, &mut wide);
        Sobol::new(5, 9).point(i, &mut narrow);
        assert_eq!(wide, points[i as usize * 300..(i as usize + 1) * 300]);
        assert_eq!(narrow, wide[..5]);
    }
    assert_eq!(sobol(50, 300, 9), points[..50 * 300]);
}

#[test]
fn seeds_give_different_points_and_all_are_in_range() {
    let mut seen = std::collections::HashSet::new();
    for seed in 0..64 {
        let points = sobol(8, 260, seed);
        assert!(points.iter().all(|x| (0.0..1.0).contains(x)));
        assert!(seen.insert(points[0].to_bits()));
    }
}

#[test]
fn empty_requests_give_no_points() {
    assert!(sobol(0, 3, 0).is_empty());
    assert!(sobol(3, 0, 0).is_empty());
    Sobol::new(0, 0).point(5, &mut []);
    assert_eq!(Sobol::new(7, 0).dim(), 7);
}

#[test]
fn the_last_index_is_accepted() {
    let mut point = [0.0; 3];
    Sobol::new(3, 0).point((1 << BITS) - 1, &mut point);
    assert!(point.iter().all(|x| (0.0..1.0).contains(x)));
}

#[test]
#[should_panic(expected = "below 2^53")]
fn an_index_out_of_range_panics() {
    Sobol::new(1, 0).point(1 << BITS, &mut [0.0]);
}

#[test]
fn discrepancy_is_far_below_that_of_random_points() {
    for (dim, gain) in [(2, 20.0), (5, 5.0), (8, 2.0)] {
        let (n, seeds) = (256, 8);
        let mut even = 0.0;
        let mut random = 0.0;
        for seed in 0..seeds {
            even += squared_discrepancy(&sobol(n, dim, seed), dim);
            let mut stream = Stream::new(seed, 0);
            let points: Vec<f64> = (0..n * dim).map(|_| stream.next_f64()).collect();
            random += squared_discrepancy(&points, dim);
        }
        assert!(even * gain < random, "{dim}: {even} against {random}");
    }
}

#[test]
fn integrals_are_unbiased_and_their_error_falls_faster_than_at_random() {
    // The product of 12 x^2 / 4 over four dimensions, whose integral is one and variance 1.8^4 - 1.
    let (dim, seeds) = (4, 64);
    let error = |n: usize| {
        let estimates: Vec<f64> = (0..seeds)
            .map(|seed| {
                let points = sobol(n, dim, seed);
                let sum: f64 = points.chunks_exact(dim).map(|x| x.iter().map(|x| 3.0 * x * x).product::<f64>()).sum();
                sum / n as f64
            })
            .collect();
        let mean = estimates.iter().sum::<f64>() / seeds as f64;
        let variance = estimates.iter().map(|x| (x - 1.0).powi(2)).sum::<f64>() / seeds as f64;
        assert!((mean - 1.0).abs() < 4.5 * (variance / seeds as f64).sqrt(), "{mean}");
        variance.sqrt()
    };
    let (coarse, fine) = (error(64), error(1024));
    // At random the error would fall by a factor of four; theory promises nearly 4^3 for smooth functions.
    assert!(coarse / fine > 16.0, "{coarse} {fine}");
    assert!(fine < 0.1 * ((1.8_f64.powi(4) - 1.0) / 1024.0).sqrt(), "{fine}");
}

#[test]
fn further_dimensions_are_independent_uniform_values() {
    let (n, dim) = (1024, 260);
    let points = sobol(n, dim, 31);
    let column = |j: usize| points.iter().skip(j).step_by(dim).map(|x| x - 0.5).collect::<Vec<f64>>();
    let limit = 4.5 / (n as f64).sqrt();
    for j in SOBOL_DIMENSIONS..dim {
        let x = column(j);
        assert!((x.iter().sum::<f64>() / n as f64).abs() < limit / 12.0_f64.sqrt());
        for other in (0..4).chain(SOBOL_DIMENSIONS..j) {
            let y = column(other);
            let correlation = 12.0 * x.iter().zip(&y).map(|(x, y)| x * y).sum::<f64>() / n as f64;
            assert!(correlation.abs() < limit, "{j} {other}: {correlation}");
        }
    }
}
