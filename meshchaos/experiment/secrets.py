"""Secrets at run time: the only place where ``{env: NAME}`` and ``{file: PATH}`` become what they name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from meshchaos.errors import UserError
from meshchaos.experiment.model import Secret, TextOrSecret

LARGEST: Final = 1 << 20


def resolve(value: TextOrSecret, *, folder: Path = Path()) -> str:
    """A text as it is, or what the secret holds now, its prefix before it. Never write the answer down.

    ``folder``: where a relative path starts. A file's last line end is not part of the secret. Raises UserError
    (which names the source, never the content) for a secret that is not there, empty, or no text.
    """
    if isinstance(value, str):
        return value
    found = os.environ.get(value.name) if value.source == "env" else _content(folder / value.name)
    if found is None:
        raise UserError(f"the environment variable {value.name} is not set")
    if not found:
        what = f"environment variable {value.name}" if value.source == "env" else f"secret's file {value.name}"
        raise UserError(f"the {what} is empty")
    return value.prefix + found


def _content(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"the secret's file {path} cannot be read: {error.strerror or error}") from error
    if len(data) > LARGEST:
        raise UserError(f"the secret's file {path} is larger than {LARGEST >> 20} MiB")
    try:
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UserError(f"the secret's file {path} is not UTF-8") from None


def located(secret: Secret, folder: Path) -> Secret:
    """The same secret, its file's path absolute."""
    if secret.source == "env":
        return secret
    return Secret("file", str((folder / Path(secret.name).expanduser()).absolute()), secret.prefix)
