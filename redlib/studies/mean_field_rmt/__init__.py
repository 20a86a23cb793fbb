"""Mean field and random matrices: what pruning does to the signals of deep tanh nets, and training to spectra."""
