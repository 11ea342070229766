"""Training objectives of a student: losses as pure functions, objectives as configurations of them."""

from __future__ import annotations

from bequest.distill.objectives.consistency_objectives import Consistency
from bequest.distill.objectives.divergence_losses import jensen_shannon, reverse_kl, skew_kl, total_variation
from bequest.distill.objectives.divergence_objectives import (
    JensenShannon,
    ReverseKL,
    SkewKL,
    TotalVariation,
)
from bequest.distill.objectives.feature_losses import OrthogonalProjector, cka_guidance, vkd
from bequest.distill.objectives.feature_objectives import CKA, VkD
from bequest.distill.objectives.label_objectives import CrossEntropy
from bequest.distill.objectives.logit_losses import dist, dkd, hard, kd, logit_mse, ofa, standardised_kd
from bequest.distill.objectives.logit_objectives import DIST, DKD, KD, OFA, Hard, LogitMSE, Standardised
from bequest.distill.objectives.objective import Objective, Sum, parse_objective
from bequest.distill.objectives.output_objectives import Outputs
from bequest.distill.objectives.token_objectives import Bound, Tokens

__all__ = [
    "CKA",
    "DIST",
    "DKD",
    "KD",
    "OFA",
    "Bound",
    "Consistency",
    "CrossEntropy",
    "Hard",
    "JensenShannon",
    "LogitMSE",
    "Objective",
    "OrthogonalProjector",
    "Outputs",
    "ReverseKL",
    "SkewKL",
    "Standardised",
    "Sum",
    "Tokens",
    "TotalVariation",
    "VkD",
    "cka_guidance",
    "dist",
    "dkd",
    "hard",
    "jensen_shannon",
    "kd",
    "logit_mse",
    "ofa",
    "parse_objective",
    "reverse_kl",
    "skew_kl",
    "standardised_kd",
    "total_variation",
    "vkd",
]
