"""What a student learns from its teachers: losses as pure functions, objectives as configurations."""

from __future__ import annotations

from bequest.distill.objectives.feature_losses import OrthogonalProjector, cka_guidance, vkd
from bequest.distill.objectives.feature_objectives import CKA, VkD
from bequest.distill.objectives.label_objectives import CrossEntropy
from bequest.distill.objectives.logit_losses import dist, dkd, hard, kd, logit_mse, ofa, standardised_kd
from bequest.distill.objectives.logit_objectives import DIST, DKD, KD, OFA, Hard, LogitMSE, Standardised
from bequest.distill.objectives.objective import Objective, Sum, parse_objective
from bequest.distill.objectives.token_objectives import Bound, Tokens

__all__ = [
    "CKA",
    "DIST",
    "DKD",
    "KD",
    "OFA",
    "Bound",
    "CrossEntropy",
    "Hard",
    "LogitMSE",
    "Objective",
    "OrthogonalProjector",
    "Standardised",
    "Sum",
    "Tokens",
    "VkD",
    "cka_guidance",
    "dist",
    "dkd",
    "hard",
    "kd",
    "logit_mse",
    "ofa",
    "parse_objective",
    "standardised_kd",
    "vkd",
]
