"""Samples with stable ids, and views of them."""

from bequest.data.agreement import agreement
from bequest.data.array_files import idx_folder, npy, npz
from bequest.data.cifar import cifar10, cifar100
from bequest.data.coloured import coloured
from bequest.data.corruptions import Degrade
from bequest.data.datasets import DATASETS, Dataset, Split, as_dataset, load_dataset
from bequest.data.digits import digits
from bequest.data.folders import few_shot, folder
from bequest.data.fractions import fraction
from bequest.data.hub import hugging_face
from bequest.data.linzen import linzen
from bequest.data.mnist import mnist
from bequest.data.random_labels import random_labels
from bequest.data.tables import listed, parquet
from bequest.data.text.documents import documents
from bequest.data.tracking import tracking
from bequest.data.wikipedia import wikipedia_agreement

__all__ = [
    "DATASETS",
    "Dataset",
    "Degrade",
    "Split",
    "agreement",
    "as_dataset",
    "cifar10",
    "cifar100",
    "coloured",
    "digits",
    "documents",
    "few_shot",
    "folder",
    "fraction",
    "hugging_face",
    "idx_folder",
    "linzen",
    "listed",
    "load_dataset",
    "mnist",
    "npy",
    "npz",
    "parquet",
    "random_labels",
    "tracking",
    "wikipedia_agreement",
]
