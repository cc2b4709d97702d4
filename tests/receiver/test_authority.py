"""The certificate authority: what its certificates say, for how long, and what they hide."""

import contextlib
import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from host_tools.errors import HostToolError
from host_tools.receiver import authority
from host_tools.receiver.devices import CERTIFICATE_FILE, KEY_FILE, DeviceList


@pytest.fixture
def signer(tmp_path):
    return authority.open_or_make(tmp_path / "authority")


def usage_of(certificate):
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_it_is_made_once_and_opened_afterwards(signer, tmp_path):
    assert authority.open_or_make(tmp_path / "authority").fingerprint == signer.fingerprint
    constraints = signer.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.value.ca and constraints.value.path_length == 0
    assert 19 * 365 < authority.days_left(signer.certificate) < 21 * 365


def test_a_device_certificate_names_nobody_and_is_for_clients_only(signer, tmp_path):
    device = DeviceList(tmp_path / "devices.json").add("kitchen", signer, tmp_path / "out")
    der = (tmp_path / "out" / CERTIFICATE_FILE).read_bytes()
    certificate = x509.load_der_x509_certificate(der)
    assert b"kitchen" not in der and b"kitchen" not in (tmp_path / "out" / KEY_FILE).read_bytes()
    assert usage_of(certificate) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.not_valid_before_utc.year == 1970  # for a device without a clock
    assert signer.certificate.not_valid_before_utc.year == 1970
    left_days = (datetime.date.fromisoformat(device.expires) - datetime.date.today()).days
    assert left_days == device.days_left and 1820 < left_days < 1830
    again = x509.load_der_x509_certificate(signer.sign_device()[1])
    assert again.subject != certificate.subject


def test_the_receivers_certificate_is_renewed_for_another_name_or_when_old(signer, tmp_path):
    path = tmp_path / "authority" / "receiver.cert.pem"

    def made(name):
        assert signer.server_context(name)[1] == (name or "b.example")
        return path.read_bytes()

    first = made("a.example")
    assert made("a.example") == first
    second = made("b.example")
    assert second != first and made(None) == second
    certificate = x509.load_pem_x509_certificate(second)
    assert usage_of(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert certificate.not_valid_before_utc.year == 1970


@pytest.mark.parametrize("left_days, is_renewed", [(59, True), (61, False)])
def test_renewal_begins_sixty_days_before_the_end(
    signer, tmp_path, monkeypatch, left_days, is_renewed
):
    monkeypatch.setattr(authority, "RECEIVER_DAYS", left_days)
    signer.server_context("a")
    path = tmp_path / "authority" / "receiver.cert.pem"
    before = path.read_bytes()
    signer.server_context("a")
    assert (path.read_bytes() != before) == is_renewed


def test_a_running_receiver_renews_its_certificate_for_new_handshakes(
    signer, tmp_path, monkeypatch
):
    """Over real TLS in memory, with the context that the receiver serves with."""
    monkeypatch.setattr(authority, "RECEIVER_DAYS", 61)
    context, _ = signer.server_context("receiver.example")
    key, certificate = signer.sign_device()
    assert signer.renew_if_due(context) is None
    before = served(context, signer, key, certificate, tmp_path)
    monkeypatch.setattr(authority, "RECEIVER_DAYS", 365)
    monkeypatch.setattr(authority, "RENEW_DAYS", 62)
    assert signer.renew_if_due(context) == authority.expiry(
        x509.load_pem_x509_certificate((tmp_path / "authority" / "receiver.cert.pem").read_bytes())
    )
    after = served(context, signer, key, certificate, tmp_path)
    assert authority.days_left(before) < 62 < authority.days_left(after)
    assert after.subject == before.subject and after.issuer == before.issuer
    assert signer.renew_if_due(context) is None


def served(context, signer, key, certificate, folder):
    """The certificate that a device gets from a receiver with this context."""
    (folder / "pem").write_text(
        ssl.DER_cert_to_PEM_cert(certificate)
        + ssl.DER_cert_to_PEM_cert(key).replace("CERTIFICATE", "EC PRIVATE KEY")
    )
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=signer.certificate_der)
    client.load_cert_chain(folder / "pem")
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    device = client.wrap_bio(to_client, to_server, server_hostname="receiver.example")
    for end in (device, server) * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return x509.load_der_x509_certificate(device.getpeercert(binary_form=True))


def test_consent_tags_tell_devices_apart_and_need_the_key(signer, tmp_path):
    other = authority.open_or_make(tmp_path / "other")
    one, two = signer.sign_device()[1], signer.sign_device()[1]
    assert signer.consent_tag(one) == signer.consent_tag(one) != signer.consent_tag(two)
    assert signer.consent_tag(one) != other.consent_tag(one)
    assert len(signer.consent_tag(one)) == 16
    assert signer.consent_tag(one) not in authority.fingerprint(one)


def test_what_is_no_name_and_keys_that_do_not_fit(signer, tmp_path):
    for name in ("", "A", "a_b", "-a", "a-", ".a", "a..b", "a\n", "x" * 64, "ä"):
        with pytest.raises(HostToolError):
            authority.check_name(name)
    assert authority.check_name("x" * 63) and authority.check_name("kitchen.home.arpa")
    other = tmp_path / "other"
    authority.open_or_make(other)
    key = (other / "authority.key.pem").read_bytes()
    (tmp_path / "authority" / "authority.key.pem").write_bytes(key)
    with pytest.raises(HostToolError, match="does not belong"):
        authority.open_or_make(tmp_path / "authority")


def test_an_expired_authority_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(authority, "AUTHORITY_DAYS", -1)
    with pytest.raises(HostToolError, match="expired on"):
        authority.open_or_make(tmp_path / "authority")
