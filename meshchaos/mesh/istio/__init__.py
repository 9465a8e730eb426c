"""Istio's rules as pure functions: host names, protocols, which object governs what.

Shared by the translation of the local mesh and by the faults, so that both say the same about one mesh.
Everything takes plain manifests, or things with ``namespace`` and ``labels``; nothing here does I/O.
The rules were read in istio/istio (``pilot/pkg``); each module names where.
"""
