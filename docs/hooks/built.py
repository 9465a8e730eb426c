"""After the site is built: nothing in it may be loaded from elsewhere. It is read behind firewalls, too, and nobody is
told who reads what.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

LOADS = (
    re.compile(r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)", re.I),
    re.compile(r"<link\b(?![^>]*\brel=[\"']?canonical)[^>]*?\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)", re.I),
    re.compile(r"(?:@import\s+|url\()[\"']?((?:https?:)?//[^\"')\s]+)", re.I),
)


def on_post_build(*, config: Any) -> None:
    """Raises PluginError, which ends the build, with the first address of each page that would be loaded."""
    found = []
    for page in sorted(Path(config.site_dir).rglob("*")):
        if page.suffix in (".html", ".css"):
            text = page.read_text("utf-8")
            hit = next((match for pattern in LOADS if (match := pattern.search(text))), None)
            if hit is not None:
                found.append(f"{page.relative_to(config.site_dir)} loads {hit.group(1)}")
    if found:
        raise PluginError("; ".join(found))
