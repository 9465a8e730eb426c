"""The folder that a run leaves: ``reports/<name>-<UTC time>-<id>/``."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from meshchaos.errors import UserError

DEFAULT: Final = Path("reports")


def new_run_id() -> str:
    """Eight hex digits."""
    return secrets.token_hex(4)


def check_output(output: Path) -> None:
    """Raises UserError where no run's folder could be made, before anything is started."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output) as file:
            file.write(b"meshchaos")
            file.flush()
    except OSError as error:
        raise UserError(f"--output {output}: cannot write there: {error.strerror}") from error


def make_folder(output: Path, name: str, run_id: str, at: float) -> Path:
    """The run's own new folder, absolute. Raises UserError."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "experiment"
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = Path(os.path.abspath(output)) / f"{safe}-{moment}-{run_id}"  # noqa: PTH100 (symlinks stay as named)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--output {output}: cannot make {folder}: {error.strerror}") from error
    return folder
