"""A load whose generator runs in a caller of the mesh (``Mesh.caller``): its rows are fetched into our sample file.

The file there is the truth, and what is here is a prefix of it, so a connection that was cut costs nothing but time:
the next question goes on where the last answer ended. A generator that nobody asks for ``file_driver.SILENCE`` ends
itself (``load.host``).
"""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from concurrent.futures import TimeoutError as NoAnswer
from typing import Any, Final

from meshchaos.errors import LoadError, MeshError, MeshGone
from meshchaos.load.driver import LoadPlan
from meshchaos.load.file_driver import START_TIMEOUT, FileDriver
from meshchaos.load.wire import encode
from meshchaos.mesh.seam import Caller

SKEW: Final = 0.25
"""Seconds that the clock there may differ by: samples are put beside what is logged and done here by their times."""
_PULL: Final = 0.05
"""Seconds between two questions for rows: as often as the generator writes."""
_AGAIN: Final = 0.2
_ANSWER: Final = 5.0
"""Seconds that an answer may take."""


class AwayDriver(FileDriver):
    """One load, by a generator at ``caller``. Not thread-safe."""

    def __init__(self, caller: Caller, plan: LoadPlan, *, latency_limit: float | None = None) -> None:
        super().__init__(plan, latency_limit=latency_limit)
        self._caller = caller
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._stopping = threading.Event()
        self._ended: str | None = None
        """Why no rows come any more."""
        self._trouble = ""

    @property
    def _begun(self) -> bool:
        return self._thread is not None

    def _begin(self) -> None:
        self._compare_clocks()
        plan = encode(self._plan, parent=0, guard=False).decode()
        self._answer({"op": "start", "load": self._plan.index, "plan": plan}, START_TIMEOUT)
        self._thread = threading.Thread(target=self._fetch, name=f"rows of {self._plan.name}", daemon=True)
        self._thread.start()

    def _tell_stop(self) -> None:
        self._stopping.set()

    def _check(self) -> None:
        if self._ended is None:
            return
        pulse = self._read()
        if pulse is None or not pulse.finished:
            raise LoadError(f"load {self._plan.name}, {self._plan.entry.words}: {self._ended}")

    def _end(self) -> None:
        if self._thread is None or self._closing.is_set():
            return
        self._closing.set()
        with contextlib.suppress(MeshError, NoAnswer):  # else it ends by itself, or with its Pod
            self._caller.submit({"op": "end", "load": self._plan.index}).result(_ANSWER)
        self._thread.join(_ANSWER + 1.0)

    def _why(self) -> str:
        return f": {self._trouble}" if self._trouble else ""

    def _compare_clocks(self) -> None:
        began = time.time()
        there = float(self._answer({"op": "hello"}, START_TIMEOUT)["now"])
        took = time.time() - began
        skew = there - (began + took / 2)
        if abs(skew) > SKEW + took / 2:
            raise LoadError(
                f"load {self._plan.name}: the clock of the node from which it is sent is {abs(skew):.1f} s "
                f"{'ahead of' if skew > 0 else 'behind'} this machine's; let both go by NTP"
            )

    def _answer(self, form: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Asked until it is answered: all that is asked so may be asked twice. Raises LoadError."""
        end = time.monotonic() + timeout
        while True:
            try:
                return self._caller.submit(form).result(max(end - time.monotonic(), _AGAIN))
            except (MeshGone, NoAnswer) as error:
                if time.monotonic() >= end:
                    raise LoadError(f"load {self._plan.name}: {error or 'no answer'} (for {timeout:g}s)") from error
                time.sleep(_AGAIN)
            except MeshError as error:
                raise LoadError(f"load {self._plan.name}: {error}") from error

    def _fetch(self) -> None:
        told = False
        offset = 0
        try:
            with self._plan.samples.open("ab", buffering=0) as file:
                while not self._closing.is_set():
                    try:
                        if self._stopping.is_set() and not told:
                            self._caller.submit({"op": "stop", "load": self._plan.index}).result(_ANSWER)
                            told = True
                        found = self._caller.submit({"op": "pull", "load": self._plan.index, "offset": offset})
                        answer = found.result(_ANSWER)
                    except (MeshGone, NoAnswer) as error:
                        self._trouble = str(error) or f"no answer within {_ANSWER:g} s"
                        self._closing.wait(_AGAIN)
                        continue
                    rows = base64.b64decode(answer["rows"])
                    offset += len(rows)
                    while rows:
                        rows = rows[file.write(rows) :]
                    self._trouble = ""
                    if answer["ended"] is not None:
                        self._ended = str(answer["ended"])
                        return
                    self._closing.wait(_PULL)
        except OSError as error:
            self._ended = f"{self._plan.samples} takes no more samples: {error.strerror or error}"
        except (MeshError, ValueError, KeyError, TypeError) as error:
            self._ended = str(error)
