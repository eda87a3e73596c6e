"""Guard: imports go one way, rooms know only what they may, and the light paths stay light."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = CHECKOUT / "archsearch"

BASE = frozenset({"errors", "decode", "config_files", "formatting", "masking", "notices", "overrides", "plugins"})
PURE = BASE | {"design", "analysis", "settings"}
TORCH = frozenset({"kernels", "network", "importer", "data", "augment", "training"})
INNER = PURE | TORCH | {"process", "processor", "signals", "cost", "search", "report", "tracking", "runs"}

# What each room may import of archsearch. A new room gets its line here.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "config_files": frozenset({"errors", "decode", "overrides"}),
    "decode": frozenset({"errors"}),
    "process": frozenset({"signals"}),
    "processor": frozenset(),
    "signals": frozenset(),
    "formatting": frozenset(),
    "masking": frozenset(),
    "notices": frozenset({"formatting"}),
    "overrides": frozenset(),
    "plugins": frozenset({"decode", "errors"}),
    "design": BASE,
    "analysis": BASE | {"design"},
    "settings": BASE | {"design", "analysis"},
    "network": PURE,
    "importer": PURE | {"network"},
    "data": BASE | {"settings"},
    "augment": BASE | {"settings"},
    "kernels": frozenset({"errors", "notices", "network", "augment"}),  # their plain torch, never a plan
    # An nn.Module and images, never a plan; of `network` the file of weights alone.
    "training": BASE | {"process", "processor", "signals", "settings", "data", "augment", "kernels", "network"},
    "cost": PURE | TORCH | {"processor"},
    "search": PURE | TORCH | {"process", "signals"},
    "report": PURE | TORCH | {"search"},
    "tracking": BASE | {"settings"},  # plain values, never a training
    "runs": PURE | TORCH | {"cost", "search", "report", "tracking"},
}
# The doors: free to import every room, imported by each other and by the sweeper alone. `library` is what `__init__`
# offers.
DOORS = frozenset({"__init__", "__main__", "cli", "init", "library", "run", "show", "study"})

# Who may import a library that the rest of archsearch is kept from; `doors` stands for all of them.
MAY_USE: dict[str, frozenset[str]] = {
    "click": frozenset({"cli"}),
    "hydra": DOORS | {"hydra_plugins"},
    "omegaconf": DOORS | {"hydra_plugins", "config_files"},
    "optuna": frozenset({"search"}),
    "sqlalchemy": frozenset({"search"}),
    "torch": TORCH | {"runs"} | DOORS,
    "numpy": TORCH | {"cost", "search", "report", "tracking", "runs", "hydra_plugins"} | DOORS,
    "torchvision": frozenset({"data"}),
    "albumentations": frozenset({"augment"}),
    "cv2": frozenset({"augment"}),
    "matplotlib": frozenset({"report"}),
}

# Private parts of Optuna, and the one module that may use them: it lists each with its reason.
OPTUNA_INTERNALS = "archsearch.search.storage.optuna_internals"
OPTUNA_PRIVATE = frozenset(
    {"_trial_id", "_study_id", "_storage", "_CachedStorage", "_add_trials_to_cache", "_sample_relative_impl", "_rdb"}
)

# What must answer at once: all of it, imported together, loads none of these.
HEAVY = ("torch", "torchvision", "numpy", "optuna", "albumentations", "matplotlib", "scipy", "PIL")
LIGHT = PURE | DOORS | {"process", "processor", "signals"}


def sources() -> list[Path]:
    return sorted([*PACKAGE.rglob("*.py"), *(CHECKOUT / "hydra_plugins").rglob("*.py")])


def module_name(path: Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sources()}


def room_of(module: str) -> str:
    top, _, rest = module.partition(".")
    return top if top == "hydra_plugins" else rest.partition(".")[0] or "__init__"


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything that `path` imports, at its top and inside its functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                inner = {f"{module}.{alias.name}" for alias in names} & MODULES.keys()
                yield from inner
                if len(inner) < len(names):
                    yield module
            case _:
                pass


IMPORTS = {module: frozenset(imported(path)) for module, path in MODULES.items()}


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_the_rooms_below_it(module: str) -> None:
    room = room_of(module)
    if room in DOORS or room == "hydra_plugins":
        allowed = INNER | DOORS
    else:
        assert room in MAY_IMPORT, f"archsearch.{room} is a new room: say in MAY_IMPORT what it may import"
        allowed = MAY_IMPORT[room] | {room}
    ours = {room_of(name) for name in IMPORTS[module] if name.partition(".")[0] == "archsearch"}
    assert ours <= allowed, f"{module} imports {sorted(ours - allowed)}; {room} may import {sorted(allowed)}"


@pytest.mark.parametrize("module", MODULES)
def test_a_library_stays_in_the_rooms_that_may_use_it(module: str) -> None:
    room = room_of(module)
    used = {name.partition(".")[0] for name in IMPORTS[module]}
    refused = sorted(library for library, rooms in MAY_USE.items() if library in used and room not in rooms)
    assert not refused, f"{module} imports {refused}; see MAY_USE"


def test_one_module_knows_the_kernels() -> None:
    kernels = {name for name in MODULES if room_of(name) == "kernels"}
    guests = {module for module, names in IMPORTS.items() if names & kernels} - kernels
    assert guests == {"archsearch.training.backend"}


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {OPTUNA_INTERNALS}))
def test_private_parts_of_optuna_are_used_in_one_module(module: str) -> None:
    imports = [name for name in IMPORTS[module] if name.startswith("optuna.") and "._" in name]
    used = [
        node.attr
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in OPTUNA_PRIVATE
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]
    assert not imports + used, f"{module} uses {imports + used}; use a function of {OPTUNA_INTERNALS}"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {module: {name for name in names if name in MODULES} - {module} for module, names in IMPORTS.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"an import cycle: {' > '.join(error.args[1])}")


def test_every_library_in_use_is_declared() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    declarations = {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower().replace("_", "-") for line in wanted}
    distributions = importlib.metadata.packages_distributions()
    missing: dict[str, str] = {}
    for module, names in IMPORTS.items():
        for library in {name.partition(".")[0] for name in names} - sys.stdlib_module_names:
            if library in {"__future__", "archsearch", "hydra_plugins"}:
                continue
            owners = {owner.lower().replace("_", "-") for owner in distributions.get(library, [library])}
            if not owners & (declarations | {"opencv-python-headless"}):  # comes with albumentations
                missing[f"{module} imports {library}"] = f"declare one of {sorted(owners)}"
    assert not missing


@pytest.mark.parametrize("room", sorted(LIGHT))
def test_a_light_room_loads_nothing_heavy(room: str) -> None:
    modules = [module for module in MODULES if room_of(module) == room]
    if not modules:
        pytest.skip(f"archsearch has no {room} yet")
    program = f"import {', '.join(modules)}, sys; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert not found.stdout.split(), f"importing {', '.join(modules)} loads {found.stdout.strip()}"
