use scalinglaws_core::{*, objective::{Data,Options,Problem,Residual,Loss,Mode,Workspace,Evaluation}, solver::*};
use std::sync::Arc;
use rayon::prelude::*;
fn main() {
    let text = std::fs::read_to_string("/work/shared/data/chinchilla_epoch.csv").unwrap();
    let rows: Vec<Vec<f64>> = text.lines().skip(1).map(|l| l.split(',').map(|v| v.parse().unwrap()).collect()).filter(|r: &Vec<f64>| r[4] == 0.0).collect();
    let col = |i: usize| rows.iter().map(|r| r[i]).collect::<Vec<f64>>();
    let nat = true;
    let law = Law::new("L ~ E + A / N**alpha + B / D**beta", ["E", "A", "B", "alpha", "beta"].iter().enumerate().map(|(i, n)| Param::new(*n, { let _ = i; ParamKind::Positive })).collect()).unwrap();
    println!("{:?}", law.inputs());
    let cen = std::env::var("CEN").is_ok();
    let (mut n_, mut d_) = (col(0), col(1));
    let gm = |v: &Vec<f64>| v.iter().map(|x| x.ln()).sum::<f64>() / v.len() as f64;
    let (mn, md) = if cen { (gm(&n_), gm(&d_)) } else { (0.0, 0.0) };
    n_.iter_mut().for_each(|v| *v /= mn.exp()); d_.iter_mut().for_each(|v| *v /= md.exp());
    let data = Data { target: col(3), inputs: vec![n_, d_], ..Data::default() };
    let opt = Options { residual: Residual::Log, loss: Loss::Huber(1e-3), ..Options::default() };
    let p = Problem::new(Arc::new(law), &data, opt).unwrap();
    println!("obj {:.14}", p.objective(&[1.8172181, 477.8259, 2143.417, 0.3473105, 0.3671724]).unwrap());
    let mut ws = Workspace::default();
    let scale = [1.0; 5];
    let stride: usize = std::env::args().nth(1).map_or(9, |s| s.parse().unwrap());
    let mut starts = vec![];
    for e in [-1.0, -0.5, 0.0, 0.5, 1.0] { for a in [0., 5., 10., 15., 20., 25.] { for b in [0., 5., 10., 15., 20., 25.] { for al in [0.0f64, 0.5, 1.0, 1.5, 2.0] { for be in [0.0f64, 0.5, 1.0, 1.5, 2.0] {
        starts.push([e, a - al * mn, b - be * md, if nat {al} else {al.max(1e-3).ln()}, if nat {be} else {be.max(1e-3).ln()}]);
    }}}}}
    let starts: Vec<_> = if let Ok(o) = std::env::var("ONE") { vec![starts[o.parse::<usize>().unwrap()]] } else { starts.into_iter().step_by(stride).collect() };
    let best = 0.00101827401780;
    let cancel = std::sync::atomic::AtomicBool::new(false); let set = Settings::default();
    let t = std::time::Instant::now();
    let res: Vec<Solution> = starts.par_iter().map_init(Scratch::default, |ws, s| solve(&p, s, &scale, None, &set, &cancel, ws)).collect();
    let el = t.elapsed();
    let mut st = std::collections::BTreeMap::new(); for r in &res { *st.entry(r.status.name()).or_insert(0) += 1; } println!("{st:?} cos max {:.1e}", res.iter().map(|r| r.gradient).fold(0.0, f64::max));
    let hit = res.iter().filter(|r| (r.objective / best - 1.0).abs() < 1e-6).count();
    let it: usize = res.iter().map(|r| r.evaluations).sum();
    let ith: usize = res.iter().filter(|r| (r.objective / best - 1.0).abs() < 1e-6).map(|r| r.evaluations).sum();
    println!("hits {hit}/{} mean evals {:.1} (hits {:.1}) time {:?} best {:.14e}", res.len(), it as f64 / res.len() as f64, ith as f64 / hit.max(1) as f64, el, res.iter().map(|r| r.objective).fold(f64::INFINITY, f64::min));
    let mut worst: Vec<_> = res.iter().zip(&starts).filter(|(r, _)| (r.objective / best - 1.0).abs() >= 1e-6).collect();
    worst.sort_by(|a, b| a.0.objective.total_cmp(&b.0.objective));
    for (r, s) in worst.iter().step_by((worst.len() / 12).max(1)) { println!("{:?} -> {:.6e} it {} {:?} {}", s, r.objective, r.iterations, r.x, r.status); }
}
