"""Rows and episodes -> text for people. Pure functions, but for `reading`, `directory` and
`command`, which read a run, write what is derived from it, and print.
"""
