"""A process that has everything imported and forks a child for every command: `python warm.py`; not a test itself.

A fresh process needs seconds for torch alone, so that two hundred kills would mostly hit imports. Requests come on
stdin and events leave on stdout, a JSON object per line.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import crash_points

HEAVY = ("torch", "torchvision", "optuna", "hydra.main", "sqlalchemy.orm", "safetensors.torch", "matplotlib.figure")


def serve() -> None:
    """Fork a child for every request until stdin ends; report its number, and its exit code when it has ended."""
    for name in HEAVY:
        importlib.import_module(name)
    _send({"event": "ready"})
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.01)
        if ready:
            received = os.read(0, 65536)
            if not received:
                return
            *lines, buffer = (buffer + received).split(b"\n")
            for line in lines:
                request = json.loads(line)
                if request.get("preload"):
                    _preload(request["preload"])
                    continue
                child = os.fork()
                if child == 0:
                    _run(request)  # ends in SystemExit
                _send({"event": "started", "pid": child})
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                _send({"event": "ended", "pid": pid, "code": os.waitstatus_to_exitcode(status)})


def _preload(names: list[str]) -> None:
    """Import what an earlier command had imported by its end, so that the next ones start at once."""
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _run(request: dict[str, Any]) -> None:
    """Be the command: its own session, its folder, its output in a file."""
    os.setsid()
    os.chdir(request["folder"])
    for place, file, flags in ((0, os.devnull, os.O_RDONLY), (1, request["output"], os.O_WRONLY)):
        handle = os.open(file, flags | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(handle, place)
        os.close(handle)
    os.dup2(1, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from archsearch.process import run_as_process
    from archsearch.run import main

    _draw_one_pixel()

    for module, name, value in request.get("settings", []):
        found = importlib.import_module(module)
        if hasattr(found, name):
            setattr(found, name, value)
    crash_points.install(Path(request["folder"]), request.get("points"), request.get("kill"), request.get("hook"))
    Path(request["output"]).with_suffix(".started").touch()
    try:
        run_as_process(lambda: main(request["arguments"]))
    finally:
        if modules := request.get("modules"):
            Path(modules).write_text(json.dumps(sorted(sys.modules)))
        sys.stdout.flush()


def _draw_one_pixel() -> None:
    """Have every picture drawn as one pixel: drawing takes most of a tiny run, and how files are written is tested."""
    import base64

    from matplotlib.figure import Figure

    pixel = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    )

    def savefig(figure: Figure, file: Any, **options: Any) -> None:
        file.write(pixel) if hasattr(file, "write") else Path(file).write_bytes(pixel)

    Figure.savefig = savefig  # type: ignore[method-assign]


def _send(event: dict[str, Any]) -> None:
    os.write(1, json.dumps(event).encode() + b"\n")


if __name__ == "__main__":
    serve()
