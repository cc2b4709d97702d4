"""The receiver's certificate authority (CA): who may connect, and how a device knows its receiver.

Made on first run in the data folder's `authority/`.  It signs the receiver's own certificate,
which carries the receiver's name, and one for each device.  A device certificate's subject is a
random number: on TLS 1.2 it travels in clear.  Keys are EC P-256; the CA's never leaves its
folder.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import ipaddress
import re
import secrets
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files

DEFAULT_NAME = "earnest-receiver"
CERTIFICATE_FILE = "authority.cert.pem"
AUTHORITY_DAYS = 20 * 365
RECEIVER_DAYS = 2 * 365
DEVICE_DAYS = 5 * 365
#: Apple's limit is 825 days; a year and a month leaves time to renew.
PAGE_DAYS = 397
#: The receiver renews its own certificate when less is left.
RENEW_DAYS = 60

# A device without a clock believes it is 1970, and refuses certificates that begin later.
_NOT_BEFORE = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM


class Authority:
    """A key, its certificate, and the folder that holds both; see `open_or_make`."""

    def __init__(
        self,
        folder: Path,
        key: ec.EllipticCurvePrivateKey,
        certificate: x509.Certificate,
        is_new: bool = False,
    ) -> None:
        self.folder = folder
        #: Made by this call: no device can know it yet.
        self.is_new = is_new
        self._key = key
        self.certificate = certificate
        secret = key.private_bytes(
            _DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._tag_key = hashlib.sha256(b"earnest consent tag" + secret).digest()

    @property
    def certificate_der(self) -> bytes:
        return self.certificate.public_bytes(_DER)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate_der)

    def consent_tag(self, certificate_der: bytes) -> str:
        """Return the 16 hexadecimal digits by which version 1 tied recordings to a certificate.

        Without this CA's key nobody can tell which device a tag stands for.
        """
        return hmac.new(self._tag_key, certificate_der, hashlib.sha256).hexdigest()[:16]

    def sign_device(self) -> tuple[bytes, bytes]:
        """Return a new device key and its certificate, both DER."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            key, secrets.token_hex(8), DEVICE_DAYS, ExtendedKeyUsageOID.CLIENT_AUTH, ()
        )
        return _private_bytes(key, _DER), certificate.public_bytes(_DER)

    def sign_page(self, names: Sequence[str]) -> tuple[bytes, bytes]:
        """Return a new key and certificate, both PEM, for a browser that goes to these names: of
        hosts, or IP addresses.  Browsers want a certificate that began lately and ends soon."""
        key = ec.generate_private_key(ec.SECP256R1())
        began = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        certificate = self._sign(key, "Earnest page", PAGE_DAYS, usage, names, began)
        return _private_bytes(key, _PEM), certificate.public_bytes(_PEM)

    def has_signed(self, certificate: x509.Certificate) -> bool:
        """Return whether a certificate is of this CA."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    def server_context(self, name: str | None) -> tuple[ssl.SSLContext, str]:
        """Return TLS 1.2 or newer that asks for a certificate of this CA, and the receiver's name.

        Renews the receiver's certificate when it is about to expire or `name` is another one.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.num_tickets = 0
        # AEAD only: with others a record is larger than the keep-alive budget reckons.
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
        context.load_verify_locations(cadata=self.certificate_der)
        _, name = self._renew(name)
        self._load(context)
        return context, name

    def renew_if_due(self, context: ssl.SSLContext) -> str | None:
        """Renew the receiver's certificate if it is about to expire; new handshakes have it.

        Returns its new last day, or None when it is good.  Raises HostToolError.
        """
        is_new, _ = self._renew(None)
        if not is_new:
            return None
        self._load(context)
        return expiry(load_certificate(self._receiver_files[0]))

    @property
    def _receiver_files(self) -> tuple[Path, Path]:
        return self.folder / "receiver.cert.pem", self.folder / "receiver.key.pem"

    def _renew(self, name: str | None) -> tuple[bool, str]:
        """Make the receiver's certificate if it must be; whether it was, and its name."""
        path, key_path = self._receiver_files
        current = load_certificate(path) if path.exists() and key_path.exists() else None
        current_name = _name_of(current)
        name = check_name(name or current_name or DEFAULT_NAME)
        if current is not None and current_name == name and days_left(current) >= RENEW_DAYS:
            return False, name
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        certificate = self._sign(key, name, RECEIVER_DAYS, usage, [name])
        owner_only_files.write(key_path, _private_bytes(key, _PEM))
        owner_only_files.write(path, certificate.public_bytes(_PEM))
        return True, name

    def _load(self, context: ssl.SSLContext) -> None:
        path, key_path = self._receiver_files
        try:
            context.load_cert_chain(path, key_path)
        except ssl.SSLError as error:
            raise HostToolError(
                f"{path} and {key_path.name} do not belong together",
                "remove both: the receiver makes new ones, devices need no change",
            ) from error

    def _sign(
        self,
        key: ec.EllipticCurvePrivateKey,
        common_name: str,
        days: int,
        usage: x509.ObjectIdentifier,
        names: Sequence[str],
        began: datetime.datetime = _NOT_BEFORE,
    ) -> x509.Certificate:
        """Return a certificate of this CA for `key`, for one usage: client or server."""
        builder = (
            _builder(common_name, self.certificate.subject, key.public_key(), days, began)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usages(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if names:
            alternatives = x509.SubjectAlternativeName([general_name(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def open_or_make(folder: Path) -> Authority:
    """Return the CA kept in `folder`, made there when there is none; raises HostToolError."""
    owner_only_files.make_folder(folder)
    key_path, path = folder / "authority.key.pem", folder / CERTIFICATE_FILE
    is_new = not key_path.exists() and not path.exists()
    if is_new:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Earnest CA")])
        certificate = (
            _builder("Earnest CA", subject, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usages(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        owner_only_files.write(key_path, _private_bytes(key, _PEM))
        owner_only_files.write(path, certificate.public_bytes(_PEM))
    certificate = load_certificate(path)
    try:
        loaded = serialization.load_pem_private_key(owner_only_files.read(key_path), None)
    except (ValueError, TypeError) as error:
        raise HostToolError(
            f"{key_path} is damaged", f"restore it, or move {folder} away and renew every device"
        ) from error
    is_right_kind = isinstance(loaded, ec.EllipticCurvePrivateKey)
    if not is_right_kind or loaded.public_key() != certificate.public_key():
        raise HostToolError(
            f"{key_path} does not belong to {path.name}",
            f"restore both, or move {folder} away and renew every device",
        )
    if days_left(certificate) <= 0:
        raise HostToolError(
            f"the CA in {folder} expired on {expiry(certificate)}",
            "move the folder away, start again, and give every device a new certificate",
        )
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return Authority(folder, loaded, certificate, is_new)


def check_name(name: str) -> str:
    """Return `name` if it can be a receiver's name in a certificate; raises HostToolError."""
    if not _NAME.fullmatch(name):
        raise HostToolError(
            f"{name!r} cannot be a receiver's name",
            "1 to 63 of a-z, 0-9, '-' and '.', as in earnest-receiver or kitchen.home.arpa",
        )
    return name


def fingerprint(certificate_der: bytes) -> str:
    """Return the SHA-256 of a certificate, hexadecimal."""
    return hashlib.sha256(certificate_der).hexdigest()


def colons(fingerprint: str) -> str:
    """Return a fingerprint as browsers show it."""
    digits = fingerprint.upper()
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))


def expiry(certificate: x509.Certificate) -> str:
    """Return the last day of a certificate, as 2031-05-04."""
    return not_after(certificate).date().isoformat()


def days_left(certificate: x509.Certificate) -> float:
    """Return the days until the certificate expires; negative afterwards."""
    left = not_after(certificate) - datetime.datetime.now(datetime.timezone.utc)
    return left.total_seconds() / 86400


def not_after(certificate: x509.Certificate) -> datetime.datetime:
    return certificate.not_valid_after_utc


def general_name(name: str) -> x509.GeneralName:
    """Return the name of a host, or an IP address, as a certificate has it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    common_name: str,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    days: int,
    began: datetime.datetime = _NOT_BEFORE,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usages(**wanted: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in names.split()})


def _private_bytes(key: ec.EllipticCurvePrivateKey, encoding: serialization.Encoding) -> bytes:
    return key.private_bytes(
        encoding,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(owner_only_files.read(path))
    except ValueError as error:
        raise HostToolError(
            f"{path} is damaged", "restore it, or move its folder away and renew every device"
        ) from error


def _name_of(certificate: x509.Certificate | None) -> str | None:
    """Return the receiver's name in its certificate."""
    if certificate is None:
        return None
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return None
    found = names.value.get_values_for_type(x509.DNSName)
    return found[0] if found else None
