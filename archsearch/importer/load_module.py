"""Loads a torch module by the name of its file or package, which runs its author's code.

Only the command line can name such code; configuration files cannot. Imports torch and this package.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from archsearch.decode import suggest
from archsearch.errors import SpecError
from archsearch.importer.trace import error_in

WHERE = "module"
"""The command-line argument that errors name."""


def load_module(reference: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return the network that `reference` names: `FILE.py:NAME` or `PACKAGE.MODULE:NAME`.

    NAME is a network, or a class or function that returns one when it is called with `arguments`.
    Raises `SpecError` if the file or name does not exist, its code raises, or the result is not a `torch.nn.Module`.
    """
    source, _, name = reference.rpartition(":")
    if not source or not name.isidentifier():
        fix = "Write module=FILE.py:CLASS or module=PACKAGE.MODULE:FUNCTION."
        raise SpecError(WHERE, f"expected a file or package and a name in it, got '{reference}'", fix)
    with _search_path(source):
        module = _of_file(Path(source).expanduser()) if source.endswith(".py") else _of_package(source)
        if not hasattr(module, name):
            raise SpecError(WHERE, f"{source} has no '{name}'", suggest(name, _networks(module)))
        return _made(getattr(module, name), name, arguments)


@contextmanager
def _search_path(source: str) -> Iterator[None]:
    """Let a file import modules from its own folder within the block, as if Python ran it."""
    folder = str(Path(source).expanduser().resolve().parent)
    if not source.endswith(".py"):
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _of_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise SpecError(WHERE, f"no file {file}", "Give its path, from the current folder.")
    name = f"archsearch_module_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None, "a file that ends in .py"
    assert spec.loader is not None, "a file that ends in .py"
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise error_in(error, WHERE, f"importing {file} raises") from error
    return module


def _of_package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            fix = "Install it, or name a file: module=FILE.py:CLASS."
            raise SpecError(WHERE, f"no package {error.name} is installed", fix) from None
        raise error_in(error, WHERE, f"importing {name} raises") from error
    except (Exception, SystemExit) as error:
        raise error_in(error, WHERE, f"importing {name} raises") from error


def _networks(module: ModuleType) -> list[str]:
    """Return the names in `module` that may provide a network: its own classes of networks and its functions."""
    own = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and str(getattr(value, "__module__", "")).startswith(module.__name__)
    }
    classes = [name for name, value in own.items() if inspect.isclass(value) and issubclass(value, nn.Module)]
    return sorted([*classes, *(name for name, value in own.items() if inspect.isfunction(value))])


def _made(found: Any, name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return `found` if it is a network, else the network that it returns when it is called."""
    if isinstance(found, nn.Module):
        if arguments:
            raise SpecError("module_args", f"{name} is already a network and takes no arguments", "Leave them out.")
        return found
    if not callable(found) or (inspect.isclass(found) and not issubclass(found, nn.Module)):
        kind = "another class" if inspect.isclass(found) else type(found).__name__
        raise SpecError(WHERE, f"{name}: expected a torch.nn.Module, got {kind}", "Name a class of a network.")
    try:
        inspect.signature(found).bind(**arguments)
    except TypeError as error:
        fix = f"Its arguments: {inspect.signature(found)}. Write module_args={{NAME: VALUE}}."
        raise SpecError("module_args", f"{name} cannot be called: {error}", fix) from None
    except ValueError:  # it has no signature that `inspect` can read
        pass
    try:
        network = found(**arguments)
    except (Exception, SystemExit) as error:
        raise error_in(error, WHERE, f"{name}({_shown(arguments)}) raises") from error
    if not isinstance(network, nn.Module):
        raise SpecError(WHERE, f"{name}: must return a torch.nn.Module, got {type(network).__name__}")
    return network


def _shown(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
