"""Lottery tickets: iterative pruning and its control arms, masks without training, transfer, early steps."""
