"""The pytest plug-in of meshchaos: ``pytest -p meshchaos experiments/`` runs each ``*.chaos.yaml`` as a test.

``meshchaos`` itself is imported only inside hooks and fixtures: a plug-in that is not used costs nothing.
"""
