"""Subscribers of the run's events: terminal, result.json, HTML."""
