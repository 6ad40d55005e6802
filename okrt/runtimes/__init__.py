"""Where code runs: contracts, and the process that keeps them."""
