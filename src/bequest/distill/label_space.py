"""Checks that logits of teacher and student mean the same: the order of the classes, and logits at all."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from bequest.errors import InputError

SUM_TOLERANCE = 1e-3
"""Rows of probabilities computed in half precision sum to 1 up to this."""


def check_class_order(
    whose: str,
    theirs: Sequence[str] | None,
    ours: Sequence[str],
    error: type[InputError],
    *,
    tokens: bool = False,
) -> list[str]:
    """Compare the class names of a teacher or a store with those of the data.

    Args:
        whose: The owner of the classes, with which the message begins: "the teacher 'cnn'".
        theirs: Names in the order of its logits; None if unknown.
        ours: Names in the order of the data's labels.
        error: The exception to raise.
        tokens: Whether the classes are the tokens of a vocabulary, which must be the same one.

    Returns:
        A warning if the names differ, so that classes can be paired by position only.

    Raises:
        InputError: Of the class ``error``, if the same names have another order, or vocabularies differ.

    >>> check_class_order("the teacher 'cnn'", ["cat", "dog"], ["cat", "hound"], InputError)
    ["the teacher 'cnn' has different class names from the data: class 1 is 'dog', not 'hound'"]
    """
    if theirs is None or tuple(theirs) == tuple(ours):
        return []
    if tokens and sorted(theirs) != sorted(ours):
        differ = len(set(theirs) ^ set(ours))
        raise error(
            f"{whose} has a different vocabulary from the data",
            expected=f"{len(ours):,} tokens",
            got=f"{len(theirs):,} tokens; {differ:,} are in only one of the two",
            remedy="use one tokenizer for both, or map the teacher's logits to the data's tokens",
        )
    # Not an error here: the caller compares the widths of the logits, and knows the remedy.
    if len(theirs) != len(ours):
        return []
    first = next(k for k, (a, b) in enumerate(zip(theirs, ours, strict=True)) if a != b)
    if sorted(theirs) == sorted(ours):
        raise error(
            f"{whose} has its classes in a different order from the data",
            expected=f"class {first} is {ours[first]!r}, as in the data",
            got=f"class {first} is {theirs[first]!r}",
            remedy="load the data with its classes in the teacher's order (classes=[...])",
        )
    return [
        f"{whose} has different class names from the data: class {first} is {theirs[first]!r}, "
        f"not {ours[first]!r}"
    ]


def probabilities_for_logits(whose: str, logits: Tensor) -> list[str]:
    """A warning if ``logits`` (N, ..., C) are in [0, 1] and sum to 1, as after a softmax.

    >>> import torch
    >>> probabilities_for_logits("the student", torch.tensor([[0.9, 0.1], [0.5, 0.5]]))[0]
    'the student answers with probabilities where logits are expected; ...'
    """
    rows = logits.detach().float().flatten(0, -2)
    if not rows.numel() or rows.shape[-1] < 2 or bool((rows < 0).any()):
        return []
    if float((rows.sum(-1) - 1).abs().max()) > SUM_TOLERANCE:
        return []
    return [
        f"{whose} answers with probabilities where logits are expected; a second softmax flattens them: "
        "remove the last softmax of the network"
    ]
