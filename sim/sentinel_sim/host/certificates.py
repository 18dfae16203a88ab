"""Certificates for the control plane of nodes on real hosts: an authority, and one for each node.

    OUT/authority/authority.pem, authority.key, control.secret   stays with who runs the nodes
    OUT/NODE/authority.pem, node.pem, node.key, control.secret    goes to the node's host

ECDSA on P-256 with SHA-256; version 3 with the extensions that RFC 5280 wants of an authority and
of an end entity, which may be TLS server and client.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sentinel_node.daemon.control.identity import (
    AUTHORITY_FILE,
    CERTIFICATE_FILE,
    FILES,
    KEY_FILE,
    SECRET_FILE,
)
from sentinel_sim.errors import CertificateError

AUTHORITY = "authority"
AUTHORITY_KEY_FILE = "authority.key"
AUTHORITY_DAYS = 3650
DEFAULT_DAYS = 365
DAYS_MAX = 825
"""What common TLS stacks take of a certificate that is no authority's."""
SECRET_BYTES = 32
SKEW = timedelta(hours=1)
"""Clocks of hosts differ: certificates begin to hold so long ago."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Issued:
    """One node's folder, and the last day of its certificate."""

    node: str
    folder: Path
    valid_until: datetime
    renewed: bool


@dataclass(frozen=True, slots=True)
class _Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    secret: bytes


def issue(
    out: Path, nodes: Sequence[str], *, days: int = DEFAULT_DAYS, renew: bool = False
) -> tuple[Issued, ...]:
    """A folder for each node below `out`, of the authority that is there or is made now.

    Raises CertificateError before anything is written: for names, or folders that are there.
    """
    _check(out, nodes, days, renew=renew)
    try:
        out.mkdir(parents=True, exist_ok=True)
        authority = _authority(out / AUTHORITY)
        return tuple(_issue(authority, out / node, node, days) for node in nodes)
    except OSError as error:
        raise CertificateError(f"{error.filename or out}: {error.strerror}") from error


def _check(out: Path, nodes: Sequence[str], days: int, *, renew: bool) -> None:
    if len(set(nodes)) != len(nodes):
        raise CertificateError(f"nodes have to differ, got {', '.join(nodes)}")
    if not 1 <= days <= DAYS_MAX:
        raise CertificateError(f"--days must be from 1 to {DAYS_MAX}, got {days}")
    for node in nodes:
        if node == AUTHORITY or not _NAME.fullmatch(node):
            raise CertificateError(
                f"a node's name is 1 to 63 letters, digits and hyphens, and not {AUTHORITY!r}: "
                f"got {node!r}"
            )
        if (out / node).exists() and not renew:
            raise CertificateError(
                f"{out / node} is there already, and may be in use; nothing was written",
                cure=f"sentinel-sim certificates {' '.join(nodes)} --out {out} --renew",
            )


def _authority(folder: Path) -> _Authority:
    if folder.exists():
        return _read_authority(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sentinel-sim authority")])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        _builder(name, name, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    made = _Authority(key, builder.sign(key, hashes.SHA256()), os.urandom(SECRET_BYTES))
    folder.mkdir(mode=0o700)
    _write(folder / AUTHORITY_KEY_FILE, _pem(key))
    _write(folder / SECRET_FILE, made.secret)
    _write(folder / AUTHORITY_FILE, made.certificate.public_bytes(serialization.Encoding.PEM))
    return made


def _read_authority(folder: Path) -> _Authority:
    try:
        key = serialization.load_pem_private_key((folder / AUTHORITY_KEY_FILE).read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((folder / AUTHORITY_FILE).read_bytes())
        secret = (folder / SECRET_FILE).read_bytes()
    except (OSError, ValueError) as error:
        raise CertificateError(
            f"{folder} is no authority that was made here: {error}; nothing was written",
            cure=f"give another --out, or move {folder} away and make all nodes anew",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{folder / AUTHORITY_KEY_FILE} is no elliptic curve key")
    return _Authority(key, certificate, secret)


def _issue(authority: _Authority, folder: Path, node: str, days: int) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(name, authority.certificate.subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(node)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    certificate = builder.sign(authority.key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    renewed = folder.exists()
    folder.mkdir(mode=0o700, exist_ok=True)
    contents = {
        AUTHORITY_FILE: authority.certificate.public_bytes(pem),
        CERTIFICATE_FILE: certificate.public_bytes(pem),
        KEY_FILE: _pem(key),
        SECRET_FILE: authority.secret,
    }
    for file in FILES:
        _write(folder / file, contents[file])
    return Issued(node, folder, certificate.not_valid_after_utc, renewed)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    """Only for our own user to read, from the first byte on."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
    part.rename(path)
