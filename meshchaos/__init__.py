"""Resilience tests for service meshes whose verdicts can be trusted."""

__version__ = "0.1.0"
