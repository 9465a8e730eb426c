"""Proxy statistics and access logs -> typed facts with a time."""
