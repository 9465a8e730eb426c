"""What the user writes: the frozen model, the YAML reader, the JSON Schema. No I/O but reading the file."""
