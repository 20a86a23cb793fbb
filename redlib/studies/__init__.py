"""The studies, a folder each: runs, what they say of each claim, figures."""
