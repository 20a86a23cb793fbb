"""What data sets are called in titles and labels: in words, not by the names of the code."""

from __future__ import annotations

DATA = {
    "digits": "small digits",
    "mnist": "MNIST",
    "mnist1d": "MNIST-1D",
    "mnist1d_b": "MNIST-1D, other shapes",
    "glyphs": "letters",
    "fashion_mnist": "clothes",
    "kmnist": "Japanese characters",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "cifar10_jpeg": "small photographs",
}


def data_name(name: str) -> str:
    """Return what a data set is called, and the name with blanks for one that is not known here."""
    return DATA.get(name, name.replace("_", " "))
