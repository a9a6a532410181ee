"""Certificates for TLS: our own, and how those of peers are checked.

For MSRP by name or fingerprint (:rfc:`4975#section-14.4`), for SIP by domain (:rfc:`5922`).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from sipstack.sip.certificate import identities, proves

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a TLS handshake may take."""
SHUTDOWN_TIMEOUT = 2.0
"""Seconds that a peer may take to say that it closes too."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


Clients = Literal["none", "any", "ask", "require"]
"""Who may connect to us: nobody, anybody, anybody who is asked for a certificate, or who has one."""


class SipTls:
    """Our certificate for SIP, when we have one, whom we believe, and who may connect.

    Files as for :class:`Tls`. ``clients`` says who may connect to us; without a certificate we can only be the client.
    Raise :exc:`OSError` when a file cannot be used.
    """

    def __init__(
        self,
        certificate: Path | None = None,
        key: Path | None = None,
        authorities: Path | None = None,
        *,
        clients: Clients = "any",
    ) -> None:
        self.server: ssl.SSLContext | None = None
        """For connections that peers make; None: none may."""
        self.client = ssl.create_default_context(cafile=authorities)
        """For SIP that we connect to: an authority must have signed, and :func:`proven` has to follow, because SIP's
        rules for names are not those of the web (:rfc:`5922#section-7.2`)."""
        self.client.check_hostname = False
        self.web = ssl.create_default_context(cafile=authorities)
        """For WebSockets, where the rules of HTTPS count (:rfc:`7118#section-7`)."""
        contexts = [self.client, self.web]
        if certificate is not None and clients != "none":
            self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authorities)
            self.server.verify_mode = VERIFICATION[clients]
            contexts.append(self.server)
        for context in contexts:
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if certificate is not None:
                # As a client too, for servers that ask: password "" keeps OpenSSL from asking at the terminal.
                context.load_cert_chain(certificate, key, password="")


VERIFICATION = {"any": ssl.CERT_NONE, "ask": ssl.CERT_OPTIONAL, "require": ssl.CERT_REQUIRED}


def proven(transport: asyncio.BaseTransport, name: str | None) -> str | None:
    """Return the domain that the peer's certificate, which an authority has signed, proves.

    ``name`` is the one that we mean, None for the peer's own choice, of which the first counts. None when it proves
    another one; empty when there is no certificate, or none that proves anything.
    """
    certificate = transport.get_extra_info("ssl_object").getpeercert() or {}
    if name is None:
        return next(iter(identities(certificate)), "")
    return name if proves(certificate, name) else None


class Tls:
    """Our certificate, when we have one, and whom we believe.

    ``certificate`` and ``key`` are PEM files, the certificate with its chain behind it; ``authorities`` is a PEM file
    of those who may sign certificates of peers, the system's own when None. Raise :exc:`OSError` when one cannot be
    used. Without a certificate we can only be the client.
    """

    def __init__(
        self, certificate: Path | None = None, key: Path | None = None, authorities: Path | None = None
    ) -> None:
        self.server: ssl.SSLContext | None = None
        """For connections that peers make. They are not asked for a certificate: this library refuses one that no
        authority has signed before anybody could compare its fingerprint. Who they are shows in the session URI that
        they know from our session description."""
        self.fingerprint: str | None = None
        """SHA-256 hash of our certificate, as ``AB:CD:…``."""
        self._named = ssl.create_default_context(cafile=authorities)
        self._fingerprinted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._fingerprinted.check_hostname = False
        self._fingerprinted.verify_mode = ssl.CERT_NONE
        contexts = [self._named, self._fingerprinted]
        if certificate is not None:
            self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            contexts.append(self.server)
            self.fingerprint = _file_fingerprint(certificate)
        for context in contexts:
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if certificate is not None:
                # As a client too, for peers that ask: password "" keeps OpenSSL from asking at the terminal.
                context.load_cert_chain(certificate, key, password="")

    def client(self, fingerprints: Collection[str]) -> ssl.SSLContext:
        """Return what to connect with: without ``fingerprints`` the certificate must be signed for the host's name.

        With them it may be anybody's, and :func:`is_expected` has to follow when the connection is up.
        """
        return self._fingerprinted if fingerprints else self._named


def is_expected(transport: asyncio.BaseTransport, fingerprints: Collection[str]) -> bool:
    """Tell whether the peer's certificate has one of ``fingerprints``; none means that its name was checked."""
    if not fingerprints:
        return True
    certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return certificate is not None and _fingerprint(certificate) in fingerprints


def _file_fingerprint(path: Path) -> str:
    match = _PEM.search(path.read_text(encoding="ascii", errors="replace"))
    if match is None:
        raise ssl.SSLError(f"{path} has no certificate in PEM")
    return _fingerprint(ssl.PEM_cert_to_DER_cert(match[0]))


def _fingerprint(certificate: bytes) -> str:
    digest = hashlib.sha256(certificate).hexdigest().upper()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))
