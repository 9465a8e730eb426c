"""What runs inside the Locust process. Imported by the shipped locustfiles only, never by the runner: Locust
patches the sockets of whoever imports it. Nothing here imports numpy, and of meshchaos only light modules.
"""
