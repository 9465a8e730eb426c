"""In ``--junitxml``: a verdict is the ``type`` of its ``<failure>``, and ERROR, as what could not be put back, is an
``<error>``, which says that nothing is known of the service.

pytest has no hook for either, so its own writer's elements are changed once they are made; where they are not as
they are known to be, they stay.
"""

from __future__ import annotations

import pytest


def tell_junit(config: pytest.Config, report: pytest.TestReport) -> None:
    """Called after pytest's writer was."""
    verdict = next((str(value) for name, value in report.user_properties if name == "meshchaos.verdict"), None)
    if verdict is None or not report.failed or report.when != "call":
        return
    try:
        from _pytest.junitxml import xml_key
    except ImportError:
        return
    writer = config.stash.get(xml_key, None)
    if writer is None:
        return
    for node in writer.node_reporter(report).nodes:
        if node.tag != "failure":
            continue
        node.set("type", verdict)
        if verdict == "ERROR":
            node.tag = "error"
            writer.stats["failure"] -= 1
            writer.stats["error"] += 1
