"""What the proxies' own records say, as typed facts: access logs and statistics, read, never changed.

May ask a mesh's proxies (``meshchaos.mesh.seam``); knows no faults, no load and no run.
"""
