"""Which ciphers the device offers: those with AEAD and forward secrecy, or none at all."""

from drivers.tls import aead_ciphers


def test_of_the_runtimes_ciphers_only_aead_ones_are_offered():
    import tls

    offered = aead_ciphers(tls.SSLContext(tls.PROTOCOL_TLS_CLIENT).get_ciphers())
    assert "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256" in offered, offered
    assert not [name for name in offered if "CBC" in name or "RSA" in name or "PSK" in name]


def test_without_an_aead_cipher_there_is_no_connection():
    names = ["TLS-ECDHE-ECDSA-WITH-AES-128-CBC-SHA", "TLS-PSK-WITH-AES-128-GCM-SHA256"]
    try:
        aead_ciphers(names)
    except OSError:
        names.append("TLS-ECDHE-ECDSA-WITH-CHACHA20-POLY1305-SHA256")
        assert aead_ciphers(names) == names[2:]
        return
    raise AssertionError("offered a cipher without AEAD")
