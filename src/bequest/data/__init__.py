"""Samples with stable ids, and views of them."""

from bequest.data.agreement import agreement
from bequest.data.cifar import cifar10, cifar100
from bequest.data.corruptions import Degrade
from bequest.data.datasets import DATASETS, Dataset, Split, as_dataset, load_dataset
from bequest.data.digits import digits
from bequest.data.folders import few_shot, folder
from bequest.data.fractions import fraction
from bequest.data.linzen import linzen
from bequest.data.mnist import mnist

__all__ = [
    "DATASETS",
    "Dataset",
    "Degrade",
    "Split",
    "agreement",
    "as_dataset",
    "cifar10",
    "cifar100",
    "digits",
    "few_shot",
    "folder",
    "fraction",
    "linzen",
    "load_dataset",
    "mnist",
]
