"""Thin: options in, exit code out."""

from __future__ import annotations


def main() -> None:
    """The ``meshchaos`` command; exits the process."""
    from meshchaos.cli.app import run

    run()
