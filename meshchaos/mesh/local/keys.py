"""Keys of token issuers, fetched as istiod fetches them: by the control plane, and put into the proxies' configuration.

A source that cannot be fetched has no keys; tokens of its issuer are then refused until a later round gets them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from urllib.parse import urlsplit, urlunsplit

from meshchaos.mesh.istio.hosts import DOMAIN
from meshchaos.mesh.istio.request_authentication import DISCOVERY, key_sources
from meshchaos.mesh.local.objects.values import nanoseconds
from meshchaos.mesh.local.world import bind_port
from meshchaos.mesh.objects import Manifest

REFRESH = 20 * 60.0
"""Seconds until keys are fetched again (Istio's PILOT_JWT_PUB_KEY_REFRESH_INTERVAL)."""
_LARGEST = 1 << 20


class KeyStore:
    """The keys by their source; those of policies that went stay, since one may be on its way in. ``addresses`` gives
    the virtual addresses of Services at the moment; ``played``: issuers whose keys are the mesh's own.
    """

    def __init__(self, addresses: Callable[[], Mapping[str, str]], played: Collection[str] = ()) -> None:
        self._addresses = addresses
        self._played = played
        self._keys: dict[str, str] = {}
        self._fetched: dict[str, float] = {}
        self._told: dict[str, str] = {}

    @property
    def keys(self) -> Mapping[str, str]:
        """A copy: worlds are frozen."""
        return dict(self._keys)

    def inside(self, objects: Iterable[Manifest]) -> bool:
        """Whether a source is a Service of this mesh, which is reached by the plain side."""
        return any(self._service(source) is not None for source in key_sources(objects, self._played))

    async def fetch(self, objects: Iterable[Manifest], *, missing_only: bool = False, inside: bool = True) -> bool:
        """Gets what the objects need: all that is missing, and what is old; returns whether keys changed.
        ``missing_only``: what is there stays. ``inside`` False: Services of this mesh are left for later.
        """
        wanted = key_sources(objects, self._played)
        before = dict(self._keys)
        due = [
            source
            for source in wanted
            if source not in self._keys or (not missing_only and time.monotonic() - self._fetched[source] >= REFRESH)
            if inside or self._service(source) is None
        ]
        found = await asyncio.gather(*(self._get(source, wanted[source]) for source in due))
        for source, keys in zip(due, found, strict=True):
            if keys is not None:
                self._keys[source], self._fetched[source] = keys, time.monotonic()
        return self._keys != before

    def forget_age(self) -> None:
        """Makes everything due."""
        self._fetched = dict.fromkeys(self._fetched, -REFRESH)

    async def _get(self, source: str, timeout: str) -> str | None:
        seconds = (nanoseconds(timeout) or 0) / 1e9
        try:
            async with asyncio.timeout(seconds):
                url = source
                if source.endswith(DISCOVERY):
                    url = str(json.loads(await self._read(source))["jwks_uri"])
                text = await self._read(url)
            json.loads(text)
        except Exception as error:  # whatever an issuer's server does, its tokens are refused and the mesh lives
            self._tell(source, f"{type(error).__name__}: {error}" if str(error) else f"no answer in {seconds:g} s")
            return None
        self._told.pop(source, None)
        return text

    async def _read(self, url: str) -> str:
        import httpx

        headers = {}
        place = self._service(url)
        if place is not None:
            parts = urlsplit(url)
            headers["host"] = parts.netloc
            url = urlunsplit((parts.scheme, place, parts.path, parts.query, ""))
        async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as client:
            answer = await client.get(url, headers=headers, timeout=None)
            answer.raise_for_status()
            if len(answer.content) > _LARGEST:
                raise ValueError(f"more than {_LARGEST} bytes")
            return answer.text

    def _service(self, url: str) -> str | None:
        """``address:port`` of a Service of this mesh, None for anything else."""
        parts = urlsplit(url)
        host = (parts.hostname or "").removesuffix(".")
        known = self._addresses()
        for name in (host, f"{host}.svc.{DOMAIN}", f"{host}.{DOMAIN}"):
            if name in known:
                return f"{known[name]}:{bind_port(parts.port or (443 if parts.scheme == 'https' else 80))}"
        return None

    def _tell(self, source: str, why: str) -> None:
        """Once for each reason, in the supervisor's log."""
        if self._told.get(source) != why:
            self._told[source] = why
            print(f"keys of {source} cannot be fetched ({why}): its tokens are refused", file=sys.stderr, flush=True)
