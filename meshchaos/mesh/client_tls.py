"""TLS as a client of the mesh speaks it: what it shows, and whom it believes."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path
from typing import Any

from meshchaos.errors import UserError
from meshchaos.mesh.seam import Tls

_ALPN = ["http/1.1"]


def tls_of(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> Tls:
    """What meshchaos.yaml names under ``gateway``; the server's name is still to come. Raises UserError for a file that
    does not do.
    """
    try:
        authorities = ca_file.read_text("utf-8") if ca_file is not None else ""
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"gateway.caFile {ca_file} cannot be read: {reason}") from error
    tls = Tls("", authorities, str(cert_file or ""), str(key_file or ""))
    context_of(tls)
    return tls


@cache
def context_of(tls: Tls, kind: type[Any] = ssl.SSLContext) -> Any:
    """The ``ssl.SSLContext``, from TLS 1.2 on, made once. ``kind``: another class of that name, where somebody has
    patched the module's. Raises UserError for files that cannot be read, or are no certificate and key.
    """
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(_ALPN)
    context.check_hostname = tls.check_name
    try:
        if tls.authorities:
            context.load_verify_locations(cadata=tls.authorities)
        else:
            context.load_default_certs()
    except (ssl.SSLError, ValueError) as error:
        raise UserError(f"gateway.caFile holds no certificate in PEM form: {error}") from error
    if tls.cert_file:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file or None)
        except ssl.SSLError as error:
            raise UserError(f"gateway.certFile {tls.cert_file} and keyFile do not fit: {error.reason}") from error
        except OSError as error:
            raise UserError(
                f"gateway.certFile {tls.cert_file} or its keyFile cannot be read: {error.strerror}"
            ) from error
    return context
