"""A review of where the redundancy of neural networks comes from: data, nets, training, pruning, measures, evidence."""

from redlib.importing import install

install()
