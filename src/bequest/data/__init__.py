"""Samples with stable ids, and views of them."""

from bequest.data.agreement import agreement
from bequest.data.cifar import cifar10
from bequest.data.datasets import DATASETS, Dataset, Split, as_dataset, load_dataset
from bequest.data.digits import digits
from bequest.data.linzen import linzen

__all__ = [
    "DATASETS",
    "Dataset",
    "Split",
    "agreement",
    "as_dataset",
    "cifar10",
    "digits",
    "linzen",
    "load_dataset",
]
