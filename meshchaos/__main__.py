"""``python -m meshchaos``."""

from meshchaos.cli import main

main()
