"""Mislabelled data under blur: what nets that learned wrong labels by heart decide as images blur (study 06)."""
