"""What the user writes: the frozen model, the YAML reader, the JSON Schema. No I/O but reading the file.

``reader.read`` and ``config.read_config`` read, ``schema`` describes, ``secrets.resolve`` resolves at run time,
``fields`` is what the specs of kinds are written with, ``specs.build`` makes one from Python.
"""
