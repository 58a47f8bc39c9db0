"""Remotes that a test session starts on loopback and stops: a directory, an SSH server and an S3-compatible one."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.pipeline.faults import HANG_SECONDS

BUCKET = "headstart"


@dataclass(frozen=True)
class Remote:
    """Where artifacts are shared.

    Attributes:
        url: for `dvc remote add`.
        local: settings for `dvc remote modify --local`.
        environment: for the commands that use it.
        damage: flips a byte of the object whose key ends with a hash.
    """

    url: str
    damage: Callable[[str], None]
    local: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@contextmanager
def directory(folder: Path) -> Iterator[Remote]:
    """A plain directory, as on a shared disk."""
    folder.mkdir(parents=True)
    yield Remote(url=str(folder), damage=lambda key: _flip(_object(folder, key)))


@contextmanager
def ssh(folder: Path) -> Iterator[Remote]:
    """Debian's sshd with a host key and a user key of its own."""
    server = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
    if server is None:
        pytest.skip("sshd is not installed (Debian: apt-get install openssh-server)")
    folder.mkdir(parents=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text("utf-8"), "utf-8")
    (folder / "authorized").chmod(0o600)
    port = _free_port()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile {folder}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n",
        "utf-8",
    )
    if os.geteuid() == 0:  # where Debian's sshd separates its privileges; made by its service otherwise
        Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([server, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield Remote(
            url=f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder}/store",
            damage=lambda key: _flip(_object(folder / "store", key)),
            local={"keyfile": str(folder / "user")},
        )
    finally:
        process.terminate()
        process.wait()


@contextmanager
def s3(folder: Path) -> Iterator[Remote]:
    """moto's S3 server, which keeps all in memory."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=_free_port(), verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    secrets = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=endpoint, **keys)
    client.create_bucket(Bucket=BUCKET)

    def damage(key: str) -> None:
        listed = client.list_objects_v2(Bucket=BUCKET)["Contents"]
        (name,) = [entry["Key"] for entry in listed if entry["Key"].replace("/", "").endswith(key)]
        content = bytearray(client.get_object(Bucket=BUCKET, Key=name)["Body"].read())
        content[len(content) // 2] ^= 1
        client.put_object(Bucket=BUCKET, Key=name, Body=bytes(content))

    try:
        yield Remote(url=f"s3://{BUCKET}/store", damage=damage, local={"endpointurl": endpoint}, environment=secrets)
    finally:
        server.stop()


def _object(folder: Path, key: str) -> Path:
    (file,) = [path for path in folder.rglob("*") if path.is_file() and "".join(path.parts[-2:]).endswith(key)]
    return file


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(port: int) -> None:
    end = time.monotonic() + HANG_SECONDS
    while time.monotonic() < end:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")
