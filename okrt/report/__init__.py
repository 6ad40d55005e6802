"""Rows and episodes -> text for people. Pure functions; nothing here prints or reads a file."""
