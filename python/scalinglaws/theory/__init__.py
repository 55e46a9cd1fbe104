"""Exponents and losses that theories of scaling predict.

Each function bears the id of its entry in the catalogue of procedures and returns a small frozen record. All
arguments broadcast; with numbers only, the fields of a record are Python floats.

These are models of idealised learners, mostly linear regression on power-law spectra. What they give for
measured runs is a prior for an exponent, the limits that an exponent can approach, and reasons why a fitted
exponent may change outside the range it was fitted on.

>>> from scalinglaws import theory
>>> phase = theory.theory_4p3_phases(alpha=0.7, beta=1.2)
>>> phase.phase, round(phase.eta, 4), phase.xi
('III', 0.6429, 0.5)
"""

from .dynamical import Bottlenecks, theory_dynamical_model
from .lottery import LotteryEnsembling, theory_lottery_ensembling
from .phases import ComputeOptimal, LossTerms, phase_loss_terms, theory_4p3_phases
from .regimes import ScalingRegimes, theory_four_regimes
from .solvable import SolvableModel, solvable_prefactor, theory_solvable_model

__all__ = [
    "Bottlenecks",
    "ComputeOptimal",
    "LossTerms",
    "LotteryEnsembling",
    "ScalingRegimes",
    "SolvableModel",
    "phase_loss_terms",
    "solvable_prefactor",
    "theory_4p3_phases",
    "theory_dynamical_model",
    "theory_four_regimes",
    "theory_lottery_ensembling",
    "theory_solvable_model",
]
