"""Pruning: masks, what to cut and how many, tickets with their control arms, supermasks, compaction."""
