"""The guest's page and the files that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
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


class Pages:
    """Serves the files of one folder, read once: what is not there at start does not exist.

    ``made`` are further files, by name, or others of the same name: :func:`gateway.http.brand.brand_files`.
    """

    def __init__(self, folder: Path, frame_ancestors: str, made: Mapping[str, bytes] | None = None) -> None:
        self._files = {
            file.name: file.read_bytes()
            for file in (sorted(folder.iterdir()) if folder.is_dir() else ())
            if file.suffix in _TYPES and file.is_file() and file.stat().st_size <= MAX_FILE
        } | dict(made or {})
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

    def index(self, *, secure: bool = False) -> web.Response:
        """Return the page that opens behind every invite link, whether there is such an account or not.

        ``secure``: the browser came by HTTPS and shall stay with it.
        """
        response = self.file("index.html")
        if secure:
            response.headers["Strict-Transport-Security"] = f"max-age={STAY_SECURE}"
        return response

    def file(self, name: str) -> web.Response:
        """Return a file of the page; :class:`NotFound` when there is none of this name."""
        body = self._files.get(name)
        if body is None:
            raise NotFound("There is no such file.")
        headers: CIMultiDict[str] = CIMultiDict(
            {
                "Content-Type": _TYPES[Path(name).suffix],
                "Cache-Control": "no-store",
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
        return web.Response(body=body, headers=headers)
