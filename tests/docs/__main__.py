"""``python -m tests.docs [PAGE...]``: what the docs show is run for real, page by page as a reader would, two at once.

An experiment that is said to have a verdict is run, and so are commands that are said to be run. Exits with 1 where one
came out otherwise. A run that the machine gave no CPU for, or whose failures looked clustered, is made once more.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.docs.snippets import MESHES, PAGES, ROOT, Snippet, snippets
from tests.e2e.stage import CLUSTERED, STRAINED

_AT_ONCE = 2
_TIMEOUT = 600.0


class Reader:
    """Who follows one page in a folder of their own, where the examples are."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page = page
        self.folder = folder
        shutil.copytree(ROOT / "experiments", folder / "experiments")

    def read(self) -> Iterator[str]:
        """What came out otherwise than the page says, a text each."""
        for snippet in snippets(self.page):
            if snippet.title is not None:
                file = self.folder / snippet.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(snippet.text, "utf-8")
            if "verdict" in snippet.about:
                assert snippet.title is not None, f"{snippet}: which file is it?"
                yield from self._judged(snippet, snippet.title)
            if "run" in snippet.about:
                yield from self._followed(snippet)

    def _judged(self, snippet: Snippet, name: str) -> Iterator[str]:
        mesh = snippet.about.get("mesh")
        own = (self.folder / "meshchaos.yaml").exists() and mesh is None
        config = [] if own else ["--config", str(MESHES if mesh is not None else ROOT / "meshchaos.yaml")]
        chosen = ["--mesh", mesh] if mesh is not None else []
        done = self._command(["run", name, *config, *chosen, "--json", "said.json"])
        said = self.folder / "said.json"
        runs = json.loads(said.read_text("utf-8"))["runs"] if said.exists() else []
        verdict = " and ".join(run["verdict"] for run in runs) or "nothing"
        said.unlink(missing_ok=True)
        if verdict != snippet.about["verdict"]:
            yield f"{snippet}: {snippet.about['verdict']} is shown, and it was {verdict}\n{_text(done)}"

    def _followed(self, snippet: Snippet) -> Iterator[str]:
        """The commands of a block, in order."""
        here, code, said = self.folder, 0, ""
        for words in snippet.commands:
            if words[0] == "cd":
                here = here / words[1]
                continue
            assert words[0] == "meshchaos", f"{snippet}: only our own commands are run, not {words[0]}"
            done = self._command(words[1:], here)
            code, said = done.returncode, _text(done)
        if code != int(snippet.about.get("exit", 0)):
            yield f"{snippet}: exit {snippet.about.get('exit', 0)} is shown, and it was {code}\n{said}"

    def _command(self, words: Sequence[str], here: Path | None = None) -> subprocess.CompletedProcess[str]:
        done = self._once(words, here or self.folder)
        if any(why in _text(done) for why in (STRAINED, CLUSTERED)):
            done = self._once(words, here or self.folder)
        return done

    def _once(self, words: Sequence[str], here: Path) -> subprocess.CompletedProcess[str]:
        runtime = self.folder / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
        return subprocess.run(
            [sys.executable, "-m", "meshchaos", *words],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )


def _text(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def _read(page: Path) -> tuple[Path, list[str], float]:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mc-docs-") as folder:
        return page, list(Reader(page, Path(folder)).read()), time.monotonic() - begun


def main(names: Sequence[str]) -> int:
    """``names``: pages; none: all of them."""
    wanted = [Path(name).resolve() for name in names] or PAGES
    pages = [page for page in wanted if any({"verdict", "run"} & set(one.about) for one in snippets(page))]
    failed = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for page, found, took in pool.map(_read, pages):
            print(f"{page.relative_to(ROOT)}: {'as shown' if not found else 'OTHERWISE'} ({took:.0f} s)", flush=True)
            for text in found:
                print(text, flush=True)
            failed += bool(found)
    print(f"{len(pages) - failed} of {len(pages)} pages are as shown")
    return 1 if failed or not pages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
