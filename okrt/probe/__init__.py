"""What an interpreter keeps, found out by sending it blocks and reading what it prints.

`okrt.probe.probing.probe(target_spec("jupyter"))` returns a report; `okrt probe` prints it.
"""
