"""A server that answers with exactly the bytes it is told, at the pace it is told."""

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Script = Callable[[socket.socket], None]


def reads_request(connection: socket.socket) -> bytes:
    """Read a request, head and body."""
    received = b""
    while _is_incomplete(received) and (chunk := connection.recv(65_536)):
        received += chunk
    return received


def _is_incomplete(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return not separator or len(body) < int(length[1] if length else 0)


def answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """Write an answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nX-Request-Id: {'0' * 8}\r\n{headers}\r\n"
    return head.encode() + body


def sends(*pieces: bytes) -> Script:
    """Answer with these bytes and close."""

    def script(connection: socket.socket) -> None:
        reads_request(connection)
        for piece in pieces:
            connection.sendall(piece)

    return script


def by_path(bodies: Mapping[str, object]) -> Script:
    """Answer each path with its data, and every other one as Cal.com answers what it has no route for."""

    def script(connection: socket.socket) -> None:
        path = reads_request(connection).split(b" ")[1].decode()
        missing = {"error": {"message": f"Cannot GET {path}"}}
        body = {"status": "success", "data": bodies[path]} if path in bodies else missing
        status = "200 OK" if path in bodies else "404 Not Found"
        connection.sendall(answer(orjson.dumps(body), status=status, headers="Connection: close\r\n"))

    return script


def drips(at_once: bytes, slowly: bytes, *, pause: float = 0.02) -> Script:
    """Answer with the first bytes at once and the others one by one."""

    def script(connection: socket.socket) -> None:
        sends(at_once)(connection)
        never = threading.Event()
        for byte in slowly:
            connection.sendall(bytes([byte]))
            never.wait(pause)

    return script


def resets(connection: socket.socket) -> None:
    """Read the request and reset the connection."""
    reads_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silent(connection: socket.socket) -> None:
    """Read the request and say nothing until the other side has gone."""
    reads_request(connection)
    connection.recv(1)


@contextmanager
def serving(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve each connection by the script, in turn; yield the base URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, script, tls), daemon=True)
        thread.start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return what a server at 127.0.0.1 needs for TLS, and the file with the certificate to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    trusted, private = folder / "certificate.pem", folder / "key.pem"
    trusted.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted


def _serve(server: socket.socket, script: Script, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with suppress(OSError), tls.wrap_socket(connection, server_side=True) if tls else connection as secured:
            script(secured)
