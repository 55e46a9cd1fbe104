"""Learning-rate schedules, and laws that predict a whole loss curve from one.

Two laws are supported. The annealing law (``sl.laws.lr_annealing``) needs the columns S1 and S2, which
`annealing_columns` makes; `fit_annealing` also chooses its decay factor. The multi-power law
(``sl.laws.multi_power_law``) needs a column set of its own, from `multi_power`; `optimise` finds the schedule
of lowest predicted final loss. ``schedule_features`` is another name of `annealing_features`.

Examples
--------
>>> from scalinglaws.schedules import WSD
>>> WSD(24000, peak=3e-4, warmup=2160, decay=4000, shape="1-sqrt").rates()[[0, 2160, 20000, 23000]]
array([0.00000000e+00, 3.00000000e-04, 3.00000000e-04, 4.01923789e-05])
"""

from .annealing import AnnealingFit, annealing_columns, annealing_features, fit_annealing
from .base import Concatenation, FromArray, Schedule
from .multipower import MultiPower, loss_reduction, multi_power, multi_power_law, multi_power_loss
from .optimisation import OptimisedSchedule, optimise
from .shapes import WSD, Constant, Cosine, Cyclic, MultiStep, TwoStage

schedule_features = annealing_features

__all__ = [
    "WSD",
    "AnnealingFit",
    "Concatenation",
    "Constant",
    "Cosine",
    "Cyclic",
    "FromArray",
    "MultiPower",
    "MultiStep",
    "OptimisedSchedule",
    "Schedule",
    "TwoStage",
    "annealing_columns",
    "annealing_features",
    "fit_annealing",
    "loss_reduction",
    "multi_power",
    "multi_power_law",
    "multi_power_loss",
    "optimise",
    "schedule_features",
]
