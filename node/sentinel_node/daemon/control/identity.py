"""Mutual TLS of the control plane: who this node is, and by whose word its neighbours are.

A node's folder holds four files, as `sentinel-sim certificates` makes them. The certificate names
the node (subject alternative name, RFC 5280 section 4.2.1.6, as RFC 6125 has it); its authority
vouches for all nodes of one installation. The secret proves every single message, as without TLS.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sentinel_node.errors import PrivilegeError, RequestError

AUTHORITY_FILE = "authority.pem"
CERTIFICATE_FILE = "node.pem"
KEY_FILE = "node.key"
SECRET_FILE = "control.secret"
FILES = (AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE, SECRET_FILE)

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Identity:
    """Of one node; PEM."""

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)

    def server(self) -> grpc.ServerCredentials:
        """Believes callers whose certificate is of the same authority, and no others."""
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], self.authority, require_client_auth=True
        )

    def channel(self) -> grpc.ChannelCredentials:
        """Shows our certificate, and believes a server of the same authority."""
        return grpc.ssl_channel_credentials(self.authority, self.key, self.certificate)


def read_identity(folder: Path, node: str) -> Identity:
    """Of `node`, from its folder. Raises RequestError or PrivilegeError, with the cure."""
    cure = f"sentinel-sim certificates {node} --out DIR"
    authority, certificate = (_read(folder / name, cure) for name in FILES[:2])
    key_path = folder / KEY_FILE
    key = _read(key_path, cure)
    if key_path.stat().st_mode & _OTHERS:
        raise RequestError(f"{key_path} can be read by others; chmod 600 {key_path}")
    identity = Identity(authority, certificate, key)
    _check(identity, folder, node, cure)
    return identity


def _read(path: Path, cure: str) -> bytes:
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise PrivilegeError(f"cannot read {path}: {error.strerror}") from error
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror}; make it: {cure}") from error


def _check(identity: Identity, folder: Path, node: str, cure: str) -> None:
    try:
        found = x509.load_pem_x509_certificate(identity.certificate)
        key = serialization.load_pem_private_key(identity.key, None)
        authority = x509.load_pem_x509_certificate(identity.authority)
    except (ValueError, TypeError) as error:
        raise RequestError(
            f"{folder}: not PEM as it should be: {error}; make it: {cure}"
        ) from error
    try:
        found.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise RequestError(
            f"{folder / CERTIFICATE_FILE} is not of {AUTHORITY_FILE} beside it; make it: {cure}"
        ) from error
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    named = names.get_values_for_type(x509.DNSName)
    if node not in named:
        raise RequestError(
            f"{folder / CERTIFICATE_FILE} is of {', '.join(named) or 'nobody'}, this node is "
            f"{node}; give --node {named[0] if named else 'NAME'}, or make another: {cure}"
        )
    plain = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if found.public_key().public_bytes(*plain) != key.public_key().public_bytes(*plain):
        raise RequestError(f"{folder}: {KEY_FILE} is not the key of {CERTIFICATE_FILE}; {cure}")
    now = datetime.now(UTC)
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        raise RequestError(
            f"{folder / CERTIFICATE_FILE} is valid from {found.not_valid_before_utc:%Y-%m-%d %H:%M}"
            f" to {found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, now it is {now:%Y-%m-%d %H:%M}; "
            f"make another: {cure} --renew"
        )
