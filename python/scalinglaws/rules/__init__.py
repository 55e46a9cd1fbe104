"""Scaling rules and small calculators of published procedures: arrays in, small frozen records out.

Each procedure of the catalogue has a function of its own id here; related functions stand beside it.

=============================  ===============================================================================
``adaptive_shape``             schedule of model shapes; `compute_to_reach`, `marginal_compute`, `fit_shapes`
``compound_scaling``           factors of depth, width, resolution; `scaled_network`
``critical_batch_size``        least steps, tokens and compute of a run
``critical_batch_from_runs``   20 % overhead; `critical_batch_from_curves`, `critical_batch_by_branching`,
                               `overhead_batch_size`, `tokens_to_loss`
``data_filtering``             repeated pools of different quality; `best_filtering`, `fit_data_filtering`
``data_pruning_frontier``      least error per number of examples; `compare_decay`
``densing``                    effective size and density; `densing_interval`, `densing_trend`
``diloco_wallclock``           time of data-parallel training and of DiLoCo; `NETWORKS`
``dp_scaling``                 loss of private training; `noise_batch_ratio`, `dp_compute`,
                               `extrapolated_loss`, `isotonic`, `dp_epsilon`, `dp_noise_multiplier`,
                               `dp_noise_table`
``gradient_noise_scale``       two batch sizes; `noise_scale_of_samples`, `curvature_noise_scale`
``knowledge_capacity``         bits per parameter; `knowledge_capacity_chunks`, `bits_stored`,
                               `parameters_for_bits`
``lr_sensitivity``             mean excess loss over learning rates; `size_at_threshold`
``memorization``               score of a continuation; `memorization_forecast`
``optimum_from_sweep``         parabola in a logarithm; `optimum_from_grid`, `optimum_by_interpolation`,
                               `optima_of_cells`, `excess_loss`, `near_optimal`
``power_law_tail``             exponent, start and goodness of fit; `tail_against_lognormal`
``projektor``                  mixtures of sources; `project_performance`, `select_mixture`,
                               `entropic_transport`, `source_gradient`
``scaling_rule_sgd``           and ``_adam``, ``_ema``, ``_weight_decay``, ``_beta2``, `scaling_rule_rmsprop`
``trajectory_invariance``      which AdamW runs share a curve; `curve_gap`
``value_rl_budget``            updates-to-data ratio of the least budget; `value_rl_cost`, `value_rl_trend`
=============================  ===============================================================================

Where a procedure fits something on the way, it does so with `scalinglaws.fit` and hands out the fit. Numbers
that cannot be used raise `DataError`, a ValueError, which names the argument and the first rows.

Examples
--------
>>> from scalinglaws import rules
>>> rules.scaling_rule_sgd(lr=0.1, kappa=4)
0.4
"""

from .accountant import (
    NoiseTable,
    dp_compute,
    dp_epsilon,
    dp_noise_multiplier,
    dp_noise_table,
    noise_batch_ratio,
)
from .batch import (
    BatchAdjustment,
    BranchingBatch,
    CurvesBatch,
    OverheadBatch,
    critical_batch_by_branching,
    critical_batch_from_curves,
    critical_batch_from_runs,
    critical_batch_size,
    overhead_batch_size,
    tokens_to_loss,
)
from .capacity import (
    NAMES,
    VALUES,
    KnowledgeCapacity,
    bits_stored,
    knowledge_capacity,
    knowledge_capacity_chunks,
    parameters_for_bits,
)
from .cells import CellOptima, ExcessLoss, excess_loss, optima_of_cells
from .convnets import CompoundFactors, NetworkShape, compound_scaling, scaled_network
from .densities import Density, DensityInterval, DensityTrend, densing, densing_interval, densing_trend
from .filtering import FilteringChoice, FilteringVariant, best_filtering, data_filtering, fit_data_filtering
from .memory import MemorizationForecast, MemorizationScore, memorization, memorization_forecast
from .noise import GradientNoise, curvature_noise_scale, gradient_noise_scale, noise_scale_of_samples
from .optimizers import (
    AdamSettings,
    RMSpropSettings,
    scaling_rule_adam,
    scaling_rule_beta2,
    scaling_rule_ema,
    scaling_rule_rmsprop,
    scaling_rule_sgd,
    scaling_rule_weight_decay,
)
from .privacy import PrivateLossModel, PrivatePlan, dp_scaling, extrapolated_loss, isotonic
from .projection import (
    MixtureChoice,
    ProjektorModel,
    project_performance,
    project_to_simplex,
    projektor,
    select_mixture,
)
from .pruning import DecayComparison, PruningFrontier, compare_decay, data_pruning_frontier
from .reinforcement import ValueBudget, value_rl_budget, value_rl_cost, value_rl_trend
from .sensitivity import (
    SensitivityResult,
    ThresholdSize,
    TrajectoryKeys,
    curve_gap,
    lr_sensitivity,
    size_at_threshold,
    trajectory_invariance,
)
from .shapes import (
    ShapeSchedule,
    ShapeSegment,
    adaptive_shape,
    compute_to_reach,
    fit_shapes,
    marginal_compute,
)
from .sweeps import (
    GridOptimum,
    InterpolatedOptimum,
    SweepOptimum,
    near_optimal,
    optimum_by_interpolation,
    optimum_from_grid,
    optimum_from_sweep,
)
from .tails import LognormalComparison, PowerLawTail, TailKind, power_law_tail, tail_against_lognormal
from .transport import Transport, entropic_transport, source_gradient
from .wallclock import NETWORKS, Network, WallClock, diloco_wallclock

__all__ = [
    "NAMES",
    "NETWORKS",
    "VALUES",
    "AdamSettings",
    "BatchAdjustment",
    "BranchingBatch",
    "CellOptima",
    "CompoundFactors",
    "CurvesBatch",
    "DecayComparison",
    "Density",
    "DensityInterval",
    "DensityTrend",
    "ExcessLoss",
    "FilteringChoice",
    "FilteringVariant",
    "GradientNoise",
    "GridOptimum",
    "InterpolatedOptimum",
    "KnowledgeCapacity",
    "LognormalComparison",
    "MemorizationForecast",
    "MemorizationScore",
    "MixtureChoice",
    "Network",
    "NetworkShape",
    "NoiseTable",
    "OverheadBatch",
    "PowerLawTail",
    "PrivateLossModel",
    "PrivatePlan",
    "ProjektorModel",
    "PruningFrontier",
    "RMSpropSettings",
    "SensitivityResult",
    "ShapeSchedule",
    "ShapeSegment",
    "SweepOptimum",
    "TailKind",
    "ThresholdSize",
    "TrajectoryKeys",
    "Transport",
    "ValueBudget",
    "WallClock",
    "adaptive_shape",
    "best_filtering",
    "bits_stored",
    "compare_decay",
    "compound_scaling",
    "compute_to_reach",
    "critical_batch_by_branching",
    "critical_batch_from_curves",
    "critical_batch_from_runs",
    "critical_batch_size",
    "curvature_noise_scale",
    "curve_gap",
    "data_filtering",
    "data_pruning_frontier",
    "densing",
    "densing_interval",
    "densing_trend",
    "diloco_wallclock",
    "dp_compute",
    "dp_epsilon",
    "dp_noise_multiplier",
    "dp_noise_table",
    "dp_scaling",
    "entropic_transport",
    "excess_loss",
    "extrapolated_loss",
    "fit_data_filtering",
    "fit_shapes",
    "gradient_noise_scale",
    "isotonic",
    "knowledge_capacity",
    "knowledge_capacity_chunks",
    "lr_sensitivity",
    "marginal_compute",
    "memorization",
    "memorization_forecast",
    "near_optimal",
    "noise_batch_ratio",
    "noise_scale_of_samples",
    "optima_of_cells",
    "optimum_by_interpolation",
    "optimum_from_grid",
    "optimum_from_sweep",
    "overhead_batch_size",
    "parameters_for_bits",
    "power_law_tail",
    "project_performance",
    "project_to_simplex",
    "projektor",
    "scaled_network",
    "scaling_rule_adam",
    "scaling_rule_beta2",
    "scaling_rule_ema",
    "scaling_rule_rmsprop",
    "scaling_rule_sgd",
    "scaling_rule_weight_decay",
    "select_mixture",
    "size_at_threshold",
    "source_gradient",
    "tail_against_lognormal",
    "tokens_to_loss",
    "trajectory_invariance",
    "value_rl_budget",
    "value_rl_cost",
    "value_rl_trend",
]
