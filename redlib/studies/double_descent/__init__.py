"""Double descent: when bigger models get better again (notebook 01)."""
