"""The samples of a finished run, for judging it again."""

from __future__ import annotations

from pathlib import Path

from meshchaos.history.samples import Samples
from meshchaos.load.sample_file import SampleFile


def read_samples(folder: Path) -> dict[str, Samples]:
    """By load name, in the order of the file names; rows that a crash tore off are left out.

    Raises EvidenceError for a file that is none.
    """
    found = {}
    for path in sorted(folder.glob("samples-*.bin")):
        file = SampleFile(path)
        file.read()
        samples = file.samples()
        file.close()
        found[samples.load] = samples
    return found
