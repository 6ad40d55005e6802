"""Makes the checkpoints that okrt evaluates. Runs from a checkout; not part of the wheel."""
