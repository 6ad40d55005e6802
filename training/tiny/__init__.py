"""A small model from nothing, on a CPU: one base, then one fine-tune for each contract."""
