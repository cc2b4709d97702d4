"""The certificate that a browser on another computer sees: of the receiver's CA, with a key of
its own, for the names and addresses that the page goes by there."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from host_tools.errors import HostToolError
from host_tools.receiver import authority as authorities
from host_tools.receiver import owner_only_files
from host_tools.receiver.authority import RENEW_DAYS, Authority


class PageCertificate:
    """Files in the CA's folder, made and renewed here; each method raises HostToolError."""

    def __init__(self, authority: Authority, names: Sequence[str]) -> None:
        self._authority = authority
        self._names = list(names)
        self._path = authority.folder / "page.cert.pem"
        self._key_path = authority.folder / "page.key.pem"

    def context(self) -> ssl.SSLContext:
        """Return TLS 1.3, which every browser of these years has, with a good certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        context.set_alpn_protocols(["http/1.1"])
        self._renew()
        self._load(context)
        return context

    def renew_if_due(self, context: ssl.SSLContext) -> str | None:
        """Renew it if it is about to expire; new handshakes have it.  Returns its new last day."""
        if not self._renew():
            return None
        self._load(context)
        return authorities.expiry(self._current())

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, hexadecimal: a browser shows it."""
        return self._current().fingerprint(hashes.SHA256()).hex()

    def _current(self) -> x509.Certificate:
        return authorities.load_certificate(self._path)

    def _renew(self) -> bool:
        if self._path.exists() and self._key_path.exists():
            current = self._current()
            is_ours = self._authority.has_signed(current)
            if is_ours and self._is_for_all(current) and _is_lasting(current):
                return False
        key, certificate = self._authority.sign_page(self._names)
        owner_only_files.write(self._key_path, key)
        owner_only_files.write(self._path, certificate)
        return True

    def _is_for_all(self, certificate: x509.Certificate) -> bool:
        try:
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return False
        return set(found.value) == {authorities.general_name(name) for name in self._names}

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._path, self._key_path)
        except ssl.SSLError as error:
            raise HostToolError(
                f"{self._path} and {self._key_path.name} do not belong together",
                "remove both: the receiver makes new ones",
            ) from error


def _is_lasting(certificate: x509.Certificate) -> bool:
    return authorities.days_left(certificate) >= RENEW_DAYS
