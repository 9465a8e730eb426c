"""Thin: options in, exit code out."""
