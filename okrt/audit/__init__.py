"""Which contract do these traces teach? Files -> traces -> verdicts, found without running them."""
