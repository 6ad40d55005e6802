"""What the user asked for: options and cases."""
