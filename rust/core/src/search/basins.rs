//! Which local fits ended at the same optimum.

use crate::solver::Status;

/// Fits whose objectives agree, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basin {
    /// Fit with the lowest objective.
    pub best: usize,
    /// All fits that ended here, in order.
    pub members: Vec<usize>,
}

/// Objectives closer than this, relatively, belong to one basin.
const SAME: f64 = 1e-6;

/// Groups solved fits by their objective, best first. Parameters are not compared: where the data do not determine
/// them, fits with equal objectives are the same optimum at different places. `floor` is the objective that rounding
/// leaves in an exact fit.
pub fn basins(objective: &[f64], status: &[Status], floor: f64) -> Vec<Basin> {
    let solved =
        |i: &usize| objective[*i].is_finite() && !matches!(status[*i], Status::Screened | Status::NonFiniteStart);
    let mut order: Vec<usize> = (0..objective.len()).filter(solved).collect();
    order.sort_by(|&a, &b| objective[a].total_cmp(&objective[b]).then(a.cmp(&b)));
    let mut found: Vec<Basin> = Vec::new();
    for i in order {
        match found.last_mut() {
            Some(basin) if objective[i] - objective[basin.best] <= SAME * objective[basin.best].abs() + floor => {
                basin.members.push(i);
            }
            _ => found.push(Basin { best: i, members: vec![i] }),
        }
    }
    for basin in &mut found {
        basin.members.sort_unstable();
    }
    found
}
