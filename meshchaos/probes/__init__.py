"""Calls made to see who is let through: sends them while a run lasts, writes down how each ended; decides nothing.

May ask a mesh how a client gets in (``meshchaos.mesh.seam``); knows no faults, no load and no run.
"""
