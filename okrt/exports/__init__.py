"""A run in the forms that others read: tables, cards, files of other tools."""
