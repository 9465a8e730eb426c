"""An agent as it runs in a caller's Pod, as a process of this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from meshchaos.mesh.calling import Link


class Away:
    """An agent, and the way to it. ``open``: connections are made; ``cut`` ends them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "meshchaos.run.agent", "0", str(folder)], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(b":")[2])
        self.open = True
        self.made: list[socket.socket] = []
        self.link = Link("the Pod", self.connect)

    def connect(self) -> socket.socket:
        if not self.open:
            raise ConnectionRefusedError("the way is closed")
        self.made.append(socket.create_connection(("127.0.0.1", self.port)))
        return self.made[-1]

    def cut(self) -> None:
        self.made[-1].shutdown(socket.SHUT_RDWR)

    def locust(self) -> list[int]:
        """Processes of its children."""
        found = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for file in found for pid in file.read_text("ascii").split()]

    def close(self) -> None:
        self.link.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
