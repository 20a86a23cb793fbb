"""Generalisation: why nets that can fit random labels still answer new examples well."""
