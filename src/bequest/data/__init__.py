"""Samples with stable ids, and views of them."""

from bequest.data.cifar import cifar10, cifar100
from bequest.data.datasets import DATASETS, Dataset, Split, as_dataset, load_dataset
from bequest.data.digits import digits
from bequest.data.fractions import fraction

__all__ = [
    "DATASETS",
    "Dataset",
    "Split",
    "as_dataset",
    "cifar10",
    "cifar100",
    "digits",
    "fraction",
    "load_dataset",
]
