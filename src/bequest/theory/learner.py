"""One estimator of the solvable model: its loss, its inputs and its teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bequest.errors import ConfigError
from bequest.theory.parameters import Numbers

LOSS_NAMES = ("logistic", "square")
TARGET_NAMES = ("soft", "hard")


@dataclass(frozen=True)
class Learner:
    """A linear classifier h = w·x/√N + b that minimises Σ ℓ(y, h̄, h) + (λ/2)|w|².

    ``loss="logistic"``: ℓ = (1−χ) CE(y, σ(h)) + χ T² CE(σ(h̄/T), σ(h/T)).
    ``loss="square"``: ℓ = (1−χ) (h − τ)²/2 + χ (h − h̄)²/2 with the label τ = ±1; T has no effect.
    With ``target="hard"`` only the sign of the teacher's logit h̄ is used: CE(1[h̄ > 0], σ(h)) or
    (h − sign h̄)²/2, without temperature.

    Args:
        penalty: λ ≥ 0.
        eta: The learner sees the first ηN inputs, in (0, 1].
        mix: χ, the weight of the teachers' part, in [0, 1]; 0 is plain training.
        temperature: T > 0.
        loss: "logistic" or "square".
        target: Whether the teachers' mean logit is handed over ("soft") or its sign ("hard").
        teachers: Positions in the chain of the learners whose mean logit is h̄; default: the one before.
        fresh: It is trained on as many other samples of the mixture, which no other learner of the chain has
            seen; only the last of a chain can be.

    Each of the first four may be an array.
    """

    penalty: Numbers
    eta: Numbers = 1.0
    mix: Numbers = 0.0
    temperature: Numbers = 1.0
    loss: str = "logistic"
    target: str = "soft"
    teachers: Sequence[int] | None = None
    fresh: bool = False

    def taught_by(self, position: int) -> tuple[int, ...]:
        """Positions of the teachers of the learner at ``position`` of a chain; none for the first."""
        if position == 0:
            return ()
        return (position - 1,) if self.teachers is None else tuple(self.teachers)


def check_chain(learners: Sequence[Learner]) -> list[str]:
    """The faults in the names and the order of a chain, one line each."""
    faults = [] if learners else ["chain: must have at least one learner"]
    for position, learner in enumerate(learners):
        where = f"learner[{position}]"
        if learner.loss not in LOSS_NAMES:
            faults.append(f"{where}.loss: must be 'logistic' or 'square' (got {learner.loss!r})")
        if learner.target not in TARGET_NAMES:
            faults.append(f"{where}.target: must be 'soft' or 'hard' (got {learner.target!r})")
        taught_by = learner.taught_by(position)
        if position and not (taught_by and all(0 <= teacher < position for teacher in taught_by)):
            faults.append(f"{where}.teachers: must name earlier learners (got {taught_by})")
        if learner.target == "hard" and len(taught_by) > 1:
            faults.append(f"{where}.target: hard labels come from one teacher (got {len(taught_by)})")
        if learner.fresh and not 0 < position == len(learners) - 1:
            faults.append(f"{where}.fresh: only the last learner of a chain has other samples")
        if learner.fresh and learner.target == "hard":
            faults.append(f"{where}.fresh: on other samples the target must be soft")
    return faults


def require_chain(learners: Sequence[Learner], where: str) -> None:
    """Refuse a chain that :func:`check_chain` finds fault with."""
    faults = check_chain(learners)
    if faults:
        raise ConfigError.of(where, faults)
