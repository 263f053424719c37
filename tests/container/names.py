"""The worker in its image, FROM scratch, in a network that has nothing but this script's own servers.

It must find its endpoint by a name that a DNS server alone knows, and must trust the authorities of its image: one that is not
among them is refused, one that is put there is taken. Run by .ci/container in a network namespace of its own.
"""

import http.server
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

NAME = "s3.batchmap.test"
IMAGE = "localhost/batchmap:ci"
WORKER = {
    "BATCHMAP_EXECUTION": "s3://bucket/executions/20260101t000000-000000",
    "BATCHMAP_ARRAY": "0",
    "BATCHMAP_PLACE": "range:0:0:0",
    "BATCHMAP_WIDTH": "12",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
}


def answer(query: bytes) -> bytes:
    """127.0.0.1 for our name, of whatever type is asked for; other names do not exist."""
    end, labels = 12, []
    while query[end]:
        labels.append(query[end + 1 : end + 1 + query[end]].decode())
        end += 1 + query[end]
    question = query[12 : end + 5]
    kind = int.from_bytes(query[end + 1 : end + 3], "big")
    known = ".".join(labels).lower() == NAME
    found = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f\x00\x00\x01" if known and kind == 1 else b""
    flags = b"\x81\x80" if known else b"\x81\x83"
    return query[:2] + flags + b"\x00\x01" + (b"\x00\x01" if found else b"\x00\x00") + b"\x00" * 4 + question + found


def serve_names(asked: list) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def loop() -> None:
        while True:
            query, client = server.recvfrom(4096)
            asked.append(query)
            server.sendto(answer(query), client)

    threading.Thread(target=loop, daemon=True).start()


def serve_http(tls: ssl.SSLContext | None) -> tuple[int, list]:
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            seen.append((self.headers["host"], self.path))
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(403)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_PUT = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1], seen


def work(endpoint: str, folder: pathlib.Path, *more: str, image: str = IMAGE, program: tuple = ()) -> str:
    """What the worker says that is to read its record there."""
    variables = [f"--env={name}={value}" for name, value in {**WORKER, "AWS_ENDPOINT_URL": endpoint}.items()]
    resolver = f"--volume={folder}/resolv.conf:/etc/resolv.conf:ro"
    command = ["podman", "run", "--rm", "--network=host", "--user=65532", resolver, *variables, *more, image]
    ran = subprocess.run([*command, *program, "worker", "--", "true"], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 76, f"{ran.returncode}: {ran.stderr}"
    return ran.stderr


def authority(folder: pathlib.Path) -> ssl.SSLContext:
    """An authority, and a server's certificate for our name that it has signed."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=ours",
            "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={NAME}")
    (folder / "names").write_text(f"subjectAltName=DNS:{NAME}\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "server.crt")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.crt", folder / "server.key")
    return tls


def main() -> None:
    asked: list = []
    serve_names(asked)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.chmod(folder, 0o755)
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        port, seen = serve_http(None)
        work(f"http://{NAME}:{port}", folder)
        assert asked and seen and seen[0][0] == f"{NAME}:{port}", f"asked {asked}, seen {seen}"
        print(f"a name through DNS: {len(asked)} queries, {len(seen)} requests")
        before = len(seen)
        work(f"http://absent.batchmap.test:{port}", folder)
        assert len(seen) == before, "a name that does not exist leads nowhere"

        port, seen = serve_http(authority(folder))
        url = f"https://{NAME}:{port}"
        strange = work(url, folder)
        assert not seen and "UnknownIssuer" in strange and "no native root" not in strange, strange
        ours = f"--volume={folder}/ca.crt:/etc/ssl/certs/ca-certificates.crt:ro"
        work(url, folder, ours)
        assert seen, "the authorities of the image are those that hold"
        print("authorities: one of the image's is trusted, another is not")

        # Injected beside an image that has none: what lies beside the program holds.
        seen.clear()
        beside = folder / "bin"
        beside.mkdir()
        install = ["podman", "run", "--rm", "--user=0", f"--volume={beside}:/opt/batchmap/bin", ours, IMAGE]
        subprocess.run([*install, "worker", "--install", "/opt/batchmap/bin"], check=True, timeout=120)
        os.chmod(beside, 0o755)
        bare = f"--volume={beside}:/opt/batchmap/bin:ro"
        work(url, folder, bare, image="localhost/busybox:ci", program=("/opt/batchmap/bin/batchmap",))
        assert seen, "the authorities beside the program hold where the image has none"
        print("authorities: those beside an injected worker are trusted where the image has none")


if __name__ == "__main__":
    sys.exit(main())
