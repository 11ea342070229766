"""A trained student with its record: shown in a line, scored, saved and loaded."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bequest.data.datasets import Dataset, Split, as_pool
from bequest.data.text import Tokenizer, read_tokenizer
from bequest.data.text.tokenizer import FILE as TOKENIZER
from bequest.distill.score import Scores, predict, score
from bequest.errors import DataError, ModelError
from bequest.files import read_json, write_json
from bequest.models.export import load_pretrained, save_pretrained
from bequest.models.export.model_folder import CONFIG, WEIGHTS
from bequest.models.network_checks import explained
from bequest.models.weights import load_weights, save_weights, weights_digest
from bequest.record_files import read_record, write_record
from bequest.records import RunRecord

RECORD = "record.json"
FITTED = "fitted.json"
CURVE = (200, 40)
"""Width and height in pixels of the curve in a notebook."""


@dataclass(repr=False)
class Fitted:
    """A trained student with the record of its training.

    Attributes:
        model: The network, in eval mode, with the selected epoch's weights.
        record: The configuration and the results.
        history: One row per evaluation on the validation split.
        data: The data that it was trained on; None for a student that was loaded.
        family: Its name in the catalogue; None for a network of the caller's.
        options: The options that it was built with.
        classes: Names in the order of its logits.
        padding: The padding token.
        input_shape: Shape of one input.
        tokenizer: The tokenizer of its texts, if it was trained on texts.
        task: What it predicts of tokens; see :attr:`bequest.data.datasets.Dataset.task`.
    """

    model: nn.Module
    record: RunRecord
    history: list[Scores]
    data: Dataset | None = None
    family: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    padding: int | None = None
    input_shape: tuple[int, ...] = ()
    tokenizer: Tokenizer | None = None
    task: str = "classify"

    def logits(self, x: Any) -> Tensor:
        """Logits (N, C) in eval mode; (N, L, C) of a language model.

        Args:
            x: Inputs, or a list of texts (of pairs of texts) for a student that was trained on texts. A
                language model reads them as beginnings: no end token follows.

        Raises:
            ModelError: If the network does not take ``x``.
        """
        inputs = self._inputs(x)
        with explained(self.model, inputs):
            return predict(self.model, inputs, padding=self.padding)

    def score(self, split: str | Split = "test") -> Scores:
        """Accuracy in [0, 1] and NLL in nats on a split of the data, or on another split.

        Raises:
            DataError: If the split has no labels, or is a name and the student was loaded without data.
        """
        if isinstance(split, str):
            if self.data is None:
                raise DataError(
                    "a loaded student has no data of its own",
                    expected="a Split",
                    got=f"the name {split!r}",
                    remedy=f"score(bq.load_dataset(...)[{split!r}])",
                )
            split = self.data[split]
        return score(self.model, split, padding=self.padding)

    def save(self, folder: str | Path) -> Path:
        """Write the student into ``folder``, for :func:`load` and for plain PyTorch.

        ``model.safetensors`` holds the weights, ``config.json`` the family and options of a network of the
        catalogue, ``record.json`` the record, ``fitted.json`` the history, ``tokenizer.json`` the tokenizer.

        Raises:
            ModelError: If the weights cannot be stored.
            RunFolderError: If the folder cannot be written.
        """
        folder = Path(folder)
        if self.family is None:
            save_weights(folder / WEIGHTS, self.model)
        else:
            save_pretrained(
                folder,
                self.model,
                self.family,
                self.options,
                self.classes,
                input_shape=self.input_shape,
            )
        if self.tokenizer is not None:
            self.tokenizer.save(folder / TOKENIZER)
        write_record(folder / RECORD, self.record)
        write_json(
            folder / FITTED,
            {
                "history": self.history,
                "classes": list(self.classes),
                "padding": self.padding,
                "input_shape": list(self.input_shape),
                "task": self.task,
            },
        )
        return folder

    def _inputs(self, x: Any) -> Tensor:
        if isinstance(x, Tensor):
            return x
        if self.tokenizer is not None and isinstance(x, list | tuple) and x and _is_text(x[0]):
            length = self.input_shape[0] if self.input_shape else None
            return self.tokenizer.inputs(x, length=length, begun=self.task == "next_token")
        return as_pool(x).x

    def __repr__(self) -> str:
        scores = ", ".join(f"{k} {v:.4g}" for k, v in self.record.selected.items() if k != "epoch")
        return (
            f"Fitted({self.record.arm}, {self.record.parameters:,} parameters, "
            f"epoch {self.record.selected.get('epoch', 0):g} of {self.record.epochs}: {scores})"
        )

    def _repr_html_(self) -> str:
        """HTML for a notebook: a table, and validation accuracy over the epochs."""
        rows = [
            ("student", self.record.arm),
            ("parameters", f"{self.record.parameters:,}"),
            ("teachers", ", ".join(teacher.arm for teacher in self.record.teachers) or "none"),
            *((f"validation {k}", f"{v:.4g}") for k, v in self.record.selected.items()),
            *(("warning", text) for text in self.record.warnings),
        ]
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(str(k))}</th><td>{html.escape(str(v))}</td></tr>"
            for k, v in rows
        )
        return f"<table>{cells}</table>{_curve([row.get('accuracy', 0.0) for row in self.history])}"


def load(folder: str | Path, model: nn.Module | None = None) -> Fitted:
    """The student that :meth:`Fitted.save` wrote into ``folder``.

    Args:
        folder: The folder.
        model: A network of the same structure, if the student is not from the catalogue; filled in place.

    Raises:
        ModelError: If the folder holds no student, a file is damaged, or a network is needed and not given.
    """
    folder = Path(folder)
    if not (folder / FITTED).is_file() or not (folder / RECORD).is_file():
        raise ModelError(
            f"{folder} holds no saved student",
            expected=f"{WEIGHTS}, {RECORD} and {FITTED}, as Fitted.save writes them",
        )
    record, saved = read_record(folder / RECORD, RunRecord), read_json(folder / FITTED)
    family: str | None = None
    options: Mapping[str, Any] = {}
    if (folder / CONFIG).is_file() and model is None:
        loaded = load_pretrained(folder)
        model, family, options = loaded.model, loaded.config.family, loaded.config.options
    elif model is None:
        raise ModelError(
            f"the student in {folder} is your own network, which cannot be built from its name",
            expected="the network, freshly built",
            remedy="bq.load(folder, model=MyNet())",
        )
    else:
        load_weights(folder / WEIGHTS, model)
    # Weights and record are two files: one of them may have been replaced since.
    if record.weights_digest not in (None, weights_digest(model)):
        raise ModelError(
            f"the weights in {folder} are not those of its record",
            expected=f"digest {str(record.weights_digest)[:16]}",
            got=f"digest {weights_digest(model)[:16]}",
            remedy="save the student again, or restore the folder from a copy",
        )
    return Fitted(
        model.eval(),
        record,
        list(saved["history"]),
        family=family,
        options=options,
        classes=tuple(saved["classes"]),
        padding=saved["padding"],
        input_shape=tuple(saved["input_shape"]),
        tokenizer=read_tokenizer(str(folder / TOKENIZER)) if (folder / TOKENIZER).is_file() else None,
        task=str(saved.get("task", "classify")),
    )


def _is_text(item: Any) -> bool:
    return isinstance(item, str) or (isinstance(item, list | tuple) and all(isinstance(s, str) for s in item))


def _curve(values: Sequence[float]) -> str:
    """A line through ``values`` in [0, 1] as an SVG; nothing for fewer than two."""
    if len(values) < 2:
        return ""
    width, height = CURVE
    step = width / (len(values) - 1)
    points = " ".join(f"{k * step:.1f},{height * (1 - value):.1f}" for k, value in enumerate(values))
    return (
        f"<svg width='{width}' height='{height}' role='img' aria-label='validation accuracy by epoch'>"
        f"<polyline points='{points}' fill='none' stroke='currentColor'/></svg>"
    )
