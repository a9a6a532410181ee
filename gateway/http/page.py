"""The guest's page and the files that belong to it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from multidict import CIMultiDict

from gateway.services import NotFound

WEB = Path(__file__).parent.parent / "web"

MAX_FILE = 2 * 1024 * 1024
"""Octets; a larger file in the folder is a mistake."""

STAY_SECURE = 180 * 86400
"""Seconds for which a browser uses nothing but HTTPS (RFC 6797)."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is served."""

    body: bytes
    packed: bytes
    """The body by gzip, empty where that saves nothing."""
    tag: str
    """``ETag``: a page that is reloaded fetches only what has changed."""

    @classmethod
    def of(cls, body: bytes) -> _File:
        """Return what is served of a file."""
        packed = gzip.compress(body, mtime=0)
        tag = hashlib.sha256(body).hexdigest()[:24]
        return cls(body, packed if len(packed) < len(body) else b"", f'"{tag}"')


class Pages:
    """Serves the files of one folder, read once: what is not there at start does not exist.

    ``made`` are further files, by name, or others of the same name: :func:`gateway.http.brand.brand_files`.
    """

    def __init__(self, folder: Path, frame_ancestors: str, made: Mapping[str, bytes] | None = None) -> None:
        found = {
            file.name: file.read_bytes()
            for file in (sorted(folder.iterdir()) if folder.is_dir() else ())
            if file.suffix in _TYPES and file.is_file() and file.stat().st_size <= MAX_FILE
        }
        self._files = {name: _File.of(body) for name, body in (found | dict(made or {})).items()}
        self._policy = "; ".join(
            (
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                "img-src 'self' data: blob:",
                "font-src 'self'",
                "connect-src 'self'",
                "base-uri 'none'",
                "form-action 'none'",
                f"frame-ancestors {frame_ancestors}",
            )
        )

    def index(self, request: web.BaseRequest, *, secure: bool = False) -> web.Response:
        """Return the page that opens behind every invite link, whether there is such an account or not.

        ``secure``: the browser came by HTTPS and shall stay with it.
        """
        response = self.file("index.html", request)
        response.headers["Cache-Control"] = "no-store"
        if secure:
            response.headers["Strict-Transport-Security"] = f"max-age={STAY_SECURE}"
        return response

    def file(self, name: str, request: web.BaseRequest | None = None) -> web.Response:
        """Return a file of the page; :class:`NotFound` when there is none of this name.

        With the ``request`` it is packed for whom that suits, and 304 for whom has it already.
        """
        file = self._files.get(name)
        if file is None:
            raise NotFound("There is no such file.")
        headers: CIMultiDict[str] = CIMultiDict(
            {
                "Content-Type": _TYPES[Path(name).suffix],
                "Cache-Control": "no-cache",  # kept, and asked for each time whether it is still the one
                "ETag": file.tag,
                "Vary": "Accept-Encoding",
                "Content-Security-Policy": self._policy,
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "Cross-Origin-Opener-Policy": "same-origin",
                "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
                "Server": "rcsgw",
            }
        )
        if self._policy.endswith("'none'"):
            headers["X-Frame-Options"] = "DENY"
        if request is None:
            return web.Response(body=file.body, headers=headers)
        if file.tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        if not (file.packed and _takes_gzip(request)):
            return web.Response(body=file.body, headers=headers)
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=file.packed, headers=headers)


def _takes_gzip(request: web.BaseRequest) -> bool:
    """Whether gzip is named in ``Accept-Encoding`` and not refused (RFC 9110, 12.5.3)."""
    for offer in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = offer.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0") not in ("q=", "q=0.")
    return False
