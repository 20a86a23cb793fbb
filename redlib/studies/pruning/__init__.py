"""The pruning study: runs, what they say of each claim, figures."""
