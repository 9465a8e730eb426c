"""The tests behind the verdicts: pure functions, each with its source."""
