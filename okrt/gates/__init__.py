"""Gates: what a release must show before it goes out, and whether a run shows it."""
