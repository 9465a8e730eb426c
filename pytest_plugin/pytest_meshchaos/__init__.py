"""The pytest plug-in of meshchaos."""
