"""Runs the documentation's commands in forks of one process that has imported everything.

The server is itself a fork of the process of the tests: a command line in a process of its own would import torch each
time. The client, which the shell finds under the name `unlearn-cli`, sends its arguments, folder, environment and
standard streams through a Unix socket.
"""

import json
import os
import socket
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, NoReturn

CLIENT = """\
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["DOCS_SERVER"])
request = {"kind": "cli", "arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}
socket.send_fds(connection, [json.dumps(request).encode() + b"\\n"], [0, 1, 2])
sys.exit(int(connection.recv(16)))
"""


def serve(address: str) -> NoReturn:
    """Answer one request after the other until this process is terminated."""
    use_default_warnings()
    preload()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        while True:
            connection, _ = server.accept()
            with connection:
                answer(connection)


def use_default_warnings() -> None:
    """Filter warnings as a new interpreter does; in tests they are errors."""
    warnings.resetwarnings()
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)


def preload() -> None:
    """Import what commands need, leave the drawings of report pages out, and shorten the attacks."""
    import matplotlib.pyplot  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch
    import torchvision  # noqa: F401

    from tests.short_attacks import shorten_attacks
    from unlearn_cli.cli import app  # noqa: F401
    from unlearn_cli.commands import attack, evaluate, train, unlearn  # noqa: F401
    from unlearn_cli.reporting import html

    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1)])  # the first optimizer of a process imports torch._dynamo, which takes a second
    shorten_attacks(setattr)
    html.render = lambda *arguments: "<html></html>"


def answer(connection: socket.socket) -> None:
    data, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    while not data.endswith(b"\n"):
        data += connection.recv(1 << 20)
    pid = os.fork()
    if pid == 0:
        os._exit(run(json.loads(data), descriptors))
    for descriptor in descriptors:
        os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status) % 256).encode())


def run(request: dict[str, Any], descriptors: list[int]) -> int:
    """Do what is requested in this process, with the client's streams, folder and environment; return the exit code."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    sys.path[:0] = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
    try:
        if request["kind"] == "cli":
            return run_command(request["arguments"])
        exec(compile(request["code"], request["name"], "exec"), {"__name__": "__main__"})
        return 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def run_command(arguments: list[str]) -> int:
    from unlearn_cli.cli.app import app

    sys.argv = ["unlearn-cli", *arguments]
    try:
        app(arguments, prog_name="unlearn-cli")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def request_python(address: str, name: str, code: str, folder: Path, output: int) -> int:
    """Run Python code in a fork of the server; return its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        request = {"kind": "python", "name": name, "code": code, "folder": str(folder), "environment": {}}
        with open(os.devnull, "rb") as nothing:
            socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], [nothing.fileno(), output, output])
            return int(connection.recv(16))
