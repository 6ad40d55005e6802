"""How many tasks a gate needs: from a pilot run, or from what is known without one."""
