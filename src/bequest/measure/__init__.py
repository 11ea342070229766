"""How two models compare: pure functions of arrays."""

from bequest.measure.accuracy import (
    accuracy,
    among_best,
    balanced_accuracy,
    class_accuracy,
    macro_f1,
    predictions_of,
)
from bequest.measure.agreement import (
    ConsistencyGap,
    ErrorOverlap,
    Flips,
    agreement,
    agreement_on_errors,
    consistency_gap,
    error_consistency,
    error_overlap,
    flips,
    teacher_student_kl,
)
from bequest.measure.alignment import cka, cka_matrix
from bequest.measure.alignment_stream import CkaStream, minibatch_cka
from bequest.measure.attention import attention_distance
from bequest.measure.basins import (
    Barrier,
    FunctionPath,
    Plane,
    along,
    barrier,
    barrier_height,
    function_path,
    interpolated,
    plane,
)
from bequest.measure.calibrated import CalibratedSimilarity, calibrated_similarity
from bequest.measure.calibration import (
    ReliabilityTable,
    calibration_interval,
    classwise_calibration_error,
    expected_calibration_error,
    mean_confidence_gap,
    reliability,
)
from bequest.measure.comparisons import holm, paired_p_value, simultaneous_level
from bequest.measure.crossed import crossed_inheritance, crossed_interval
from bequest.measure.families import Claim, Judged, judge_family, verdict_of, verdict_p_value
from bequest.measure.inheritance import inheritance, inheritance_profile
from bequest.measure.intervals import (
    Estimate,
    bootstrap_interval,
    paired_interval,
    proportion_interval,
    sample_interval,
    seed_interval,
    seed_sample_interval,
)
from bequest.measure.jackknife import disjoint_pairs, group_interval, ring_interval
from bequest.measure.looks import detectable_effect, look_levels, seeds_needed
from bequest.measure.maps import MapLikeness, map_correlation, map_likeness
from bequest.measure.matching import Matched, match_weights
from bequest.measure.neighbours import mutual_neighbours
from bequest.measure.pairing import pair
from bequest.measure.paths import (
    PathMap,
    approach,
    checkpoint_epochs,
    direction_p_value,
    direction_to,
    path_length,
    path_map,
    representation_distances,
    straightness,
)
from bequest.measure.pointwise import seed_intervals
from bequest.measure.probe import linear_probe
from bequest.measure.robustness import (
    Robustness,
    SeverityCurve,
    corruption_robustness,
    relative_to_clean,
    severity_curve,
)
from bequest.measure.scoring import BrierParts, brier, brier_parts, entropy, nll
from bequest.measure.selective import RiskCoverage, confidence_auc, risk_coverage, roc_auc
from bequest.measure.similarity import (
    Similarity,
    cosine_of_cosines,
    procrustes,
    referenced,
    rsa,
    shuffled_null,
    similarity_matrix,
)
from bequest.measure.strata import Strata, accuracy_by, constant_accuracy_by, mean_accuracy_by
from bequest.measure.symmetries import Place, Symmetry, check_symmetries, heads, permuted, symmetries_of
from bequest.measure.temperature import fit_temperature, temperature_interval
from bequest.measure.undefined import Undefined, code_of, reason_of

__all__ = [
    "Barrier",
    "BrierParts",
    "CalibratedSimilarity",
    "CkaStream",
    "Claim",
    "ConsistencyGap",
    "ErrorOverlap",
    "Estimate",
    "Flips",
    "FunctionPath",
    "Judged",
    "MapLikeness",
    "Matched",
    "PathMap",
    "Place",
    "Plane",
    "ReliabilityTable",
    "RiskCoverage",
    "Robustness",
    "SeverityCurve",
    "Similarity",
    "Strata",
    "Symmetry",
    "Undefined",
    "accuracy",
    "accuracy_by",
    "agreement",
    "agreement_on_errors",
    "along",
    "among_best",
    "approach",
    "attention_distance",
    "balanced_accuracy",
    "barrier",
    "barrier_height",
    "bootstrap_interval",
    "brier",
    "brier_parts",
    "calibrated_similarity",
    "calibration_interval",
    "check_symmetries",
    "checkpoint_epochs",
    "cka",
    "cka_matrix",
    "class_accuracy",
    "classwise_calibration_error",
    "code_of",
    "confidence_auc",
    "consistency_gap",
    "constant_accuracy_by",
    "corruption_robustness",
    "cosine_of_cosines",
    "crossed_inheritance",
    "crossed_interval",
    "detectable_effect",
    "direction_p_value",
    "direction_to",
    "disjoint_pairs",
    "entropy",
    "error_consistency",
    "error_overlap",
    "expected_calibration_error",
    "fit_temperature",
    "flips",
    "function_path",
    "group_interval",
    "heads",
    "holm",
    "inheritance",
    "inheritance_profile",
    "interpolated",
    "judge_family",
    "linear_probe",
    "look_levels",
    "macro_f1",
    "map_correlation",
    "map_likeness",
    "match_weights",
    "mean_accuracy_by",
    "mean_confidence_gap",
    "minibatch_cka",
    "mutual_neighbours",
    "nll",
    "pair",
    "paired_interval",
    "paired_p_value",
    "path_length",
    "path_map",
    "permuted",
    "plane",
    "predictions_of",
    "procrustes",
    "proportion_interval",
    "reason_of",
    "referenced",
    "relative_to_clean",
    "reliability",
    "representation_distances",
    "ring_interval",
    "risk_coverage",
    "roc_auc",
    "rsa",
    "sample_interval",
    "seed_interval",
    "seed_intervals",
    "seed_sample_interval",
    "seeds_needed",
    "severity_curve",
    "shuffled_null",
    "similarity_matrix",
    "simultaneous_level",
    "straightness",
    "symmetries_of",
    "teacher_student_kl",
    "temperature_interval",
    "verdict_of",
    "verdict_p_value",
]
