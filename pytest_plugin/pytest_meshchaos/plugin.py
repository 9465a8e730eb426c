"""Hooks of the plug-in; ``meshchaos`` itself is imported only inside them."""
