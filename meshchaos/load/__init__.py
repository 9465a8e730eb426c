"""Locust as a subprocess: the open-loop scheduler, raw samples, generator health."""
