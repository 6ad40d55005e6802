"""Runs that others are compared with: saved, found, compared."""
