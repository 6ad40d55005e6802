"""The pytest plugin of okrt. Importing it imports pytest alone."""
