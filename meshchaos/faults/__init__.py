"""The faults: pure, (fault, snapshot of the mesh) -> changes and what proves them. No I/O."""
