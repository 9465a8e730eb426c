"""A fault and an expectation of one's own."""
