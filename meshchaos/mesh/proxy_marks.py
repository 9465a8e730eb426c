"""What a mesh that plays its control plane itself does to one proxy, said by annotations of its Pod.

So a disturbance is an edit like any other: in the journal, undone by whoever heals, by the mesh itself when the run is
gone. ``Snapshot.marks`` names those that a mesh obeys; to others they would say nothing.
"""

from __future__ import annotations

from typing import Final

CERTIFICATE: Final = "proxy.meshchaos.dev/certificate"
EXPIRED: Final = "expired"
"""The proxy has a certificate that is past its end, and opens its connections anew."""

UPDATES: Final = "proxy.meshchaos.dev/updates"
STOPPED: Final = "stopped"
"""The proxy gets nothing new: no configuration, no endpoints, no certificate."""
