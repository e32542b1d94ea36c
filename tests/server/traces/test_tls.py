"""A Postgres behind TLS: `sslmode` and `sslrootcert` in the address do what they say."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from server.traces.database import Database
from server.traces.errors import AwayError
from server.traces.store import Store
from tests.server.traces.making import made

x509 = pytest.importorskip("cryptography.x509")


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, key_file = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, key_file


class TlsFront:
    """Speaks TLS as a Postgres does, and hands on to one that has none."""

    def __init__(self, socket: str, context: ssl.SSLContext) -> None:
        self._socket, self._context = socket, context
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
            await reader.readexactly(8)  # "may we speak TLS?"
            writer.write(b"S")
            await writer.start_tls(self._context)
            self.connections += 1
            inner_reader, inner_writer = await asyncio.open_unix_connection(self._socket)
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def front(url: str, tmp_path: Path) -> AsyncIterator[tuple[str, Path, TlsFront]]:
    """The start of an address behind TLS, the certificate to trust, and who answers there."""
    pem, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    parts = urlsplit(url)
    folder = parse_qs(parts.query)["host"][0]
    front = TlsFront(f"{folder}/.s.PGSQL.5432", context)
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}", pem, front
    server.close()


async def test_a_verified_server_is_used(front: tuple[str, Path, TlsFront]) -> None:
    address, pem, tls = front
    database = await Database.open(f"{address}?sslmode=verify-full&sslrootcert={pem}")
    store = Store(database)
    await store.write([made("r")])
    assert (await store.read("r")).trace.request.request_id == "r"
    assert tls.connections >= 1
    await database.close()


async def test_a_server_that_nobody_vouches_for_is_not(
    front: tuple[str, Path, TlsFront], tmp_path: Path
) -> None:
    address, _, _ = front
    other = tmp_path / "other"
    other.mkdir()
    pem, _ = make_certificate(other)
    with pytest.raises(AwayError, match=r"CERTIFICATE_VERIFY_FAILED|certificate"):
        await Database.open(f"{address}?sslmode=verify-full&sslrootcert={pem}")


async def test_a_server_without_tls_is_not_where_tls_is_required(url: str) -> None:
    async def decline(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"N")
        await reader.read()
        writer.close()

    plain = await asyncio.start_server(decline, "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    with pytest.raises(AwayError, match=r"SSL|Connection"):
        await Database.open(f"postgresql://postgres@127.0.0.1:{port}/x?sslmode=require")
    await asyncio.sleep(0.05)
    plain.close()
