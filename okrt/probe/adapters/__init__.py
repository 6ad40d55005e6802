"""Ways to reach an interpreter, one module each.

All of them run in a process of their own (`okrt.probe.serve`), so none needs to defend itself
against a target that hangs or floods. Each module imports the package it needs at its top and is
imported only where it is asked for.
"""
