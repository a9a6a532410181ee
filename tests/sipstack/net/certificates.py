"""Certificates for tests, made on the spot."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sipstack.net.tls import Tls


def write_certificate(
    folder: Path, name: str = "peer", *, host: str = "127.0.0.1", others: tuple[str, ...] = ()
) -> tuple[Path, Path]:
    """Write a certificate for ``host`` and ``others`` that signs itself; return its file and that of its key.

    Each may be an address, a name, or a URI such as ``sip:core.example``.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([_general_name(one) for one in (host, *others)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.crt", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def _general_name(text: str) -> x509.GeneralName:
    if text.startswith("sip:"):
        return x509.UniformResourceIdentifier(text)
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def make_tls(folder: Path, name: str = "peer", *, host: str = "127.0.0.1", believe: bool = False) -> Tls:
    """Return somebody with a certificate of their own; ``believe``: it is also the authority that they believe."""
    certificate, key = write_certificate(folder, name, host=host)
    return Tls(certificate, key, certificate if believe else None)
