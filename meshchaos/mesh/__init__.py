"""The seam to a mesh: object references, changes, the journal. Knows nothing of runs or load."""
