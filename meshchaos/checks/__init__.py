"""The expectations: pure, (history, facts) -> findings. No I/O."""
