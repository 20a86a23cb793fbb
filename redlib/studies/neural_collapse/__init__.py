"""Neural collapse: what happens to the last layers after the training error has reached zero."""
