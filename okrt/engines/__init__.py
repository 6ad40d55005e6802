"""What turns cases into episodes: this process, and more than one machine."""
