"""Composition: from what a user types to one plain mapping; the only module besides the front doors that knows Hydra.

Hydra and OmegaConf are imported inside the functions. Behind this module there are plain values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.config_folder import config_folder
from archsearch.decode import suggest
from archsearch.design.spec import BlockLookup
from archsearch.errors import SpecError
from archsearch.messages import explain, known_error
from archsearch.plain_composition import compose_plainly, merge_plainly, resolve_plainly
from archsearch.plain_yaml import NotPlain, read_plain, require_plain

if TYPE_CHECKING:
    from omegaconf import DictConfig

_OVERRIDE = re.compile(r"(?P<key>[A-Za-z_][\w./@-]*)=(?P<value>.*)", re.DOTALL)
_FILE = re.compile(r"""'(?P<single>[^']+\.ya?ml)'|"(?P<double>[^"]+\.ya?ml)"|(?P<bare>[^,()\[\]{}'"]+\.ya?ml)""")


def normalise(arguments: Iterable[str]) -> list[str]:
    """Return command-line arguments in the form that Hydra takes.

    `arch.stages.c2.dilation=2` may add a key (it is checked later, with a better message than Hydra's);
    `block@arch.stages.c2.block=strided` names the block of one stage; `arch=FILE.yaml` reads a design, as does
    `arch=RUN_DIR`. The name of a file that lists overrides, as a search leaves it in `best.yaml`, stands for those
    that are not given beside it.
    Flags and overrides with a prefix (`+ ++ ~`) stay as they are.
    """
    found: list[str] = []
    for argument in _with_files(list(arguments)):
        match = _OVERRIDE.fullmatch(argument)
        if match is None:
            found.append(argument)
            continue
        key, value = match["key"], match["value"]
        if key == "arch" and (file := _file(value)) is not None:
            found += ["arch=file", "++arch.file='{}'".format(str(file).replace("'", "\\'"))]
        elif key.startswith("block@"):
            found.append(f"++{key.removeprefix('block@')}={value}")
        elif "." in key and not key.startswith("hydra.") and "@" not in key and "/" not in key:
            found.append(f"++{key}={value}")
        else:
            found.append(argument)
    return found


def _with_files(given: list[str]) -> list[str]:
    """Return `given` with each file that lists overrides replaced by those that `given` does not make itself."""
    kept = {_key(one) for one in given}
    found: list[str] = []
    for one in given:
        is_file = "=" not in one and one.endswith((".yaml", ".yml")) and not one.startswith("~")
        found += [each for each in _listed(one) if _key(each) not in kept] if is_file else [one]
    return found


def _listed(named: str) -> list[str]:
    """Return what the file `named` lists under `overrides`."""
    found = read_yaml(Path(named).expanduser()).get("overrides")
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        fix = f"A search leaves such a file as best.yaml; a design is given as arch={named}."
        raise SpecError(named, "holds no list of overrides", fix)
    return found


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _file(value: str) -> Path | None:
    """Return the file of a design that `value` means: a path, or the folder of a run; None where it is a name."""
    match = _FILE.fullmatch(value)
    if match is not None:
        return Path(match["single"] or match["double"] or match["bare"]).expanduser().resolve()
    folder = Path(value.strip("'\"")).expanduser()
    return folder.resolve() / "design.yaml" if "/" in value and folder.is_dir() else None


def compose_tree(overrides: Sequence[str] = (), folders: Sequence[Path] = ()) -> tuple[dict[str, Any], BlockLookup]:
    """Return what `read_tree` makes of `compose`, without Hydra where `overrides` are plain: five times as fast."""
    try:
        return _compose_plainly(normalise(overrides), folders)
    except NotPlain:
        return read_tree(compose(overrides, folders), folders)


def _compose_plainly(given: Sequence[str], folders: Sequence[Path]) -> tuple[dict[str, Any], BlockLookup]:
    searched = [config_folder(), *folders]
    if not all(folder.is_dir() for folder in searched):
        raise NotPlain
    tree = compose_plainly(given, searched)
    data, arch = tree.get("data", {}), tree.get("arch", {})
    if data.get("name") is not None:
        data |= _image_shape(resolve_plainly(data))
    if "file" in arch:
        file = Path(str(arch.pop("file")))
        tree["arch"] = merge_plainly(read_plain(file), arch)
    return resolve_plainly(tree), block_lookup([*folders, config_folder()])


def compose(overrides: Sequence[str] = (), folders: Sequence[Path] = ()) -> DictConfig:
    """Return the configuration that `overrides` make of the shipped groups and those in `folders`.

    Raises `SpecError` with Hydra's own words for overrides that it cannot use.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    for folder in folders:
        if not folder.is_dir():
            raise SpecError("--config-dir", f"{folder}: there is no such folder")
    quoted = ("'{}'".format(str(folder.resolve()).replace("'", "\\'")) for folder in folders)
    searched = [f"hydra.searchpath=[{','.join(quoted)}]"] if folders else []
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir=str(config_folder()), version_base="1.3"):
            return hydra_compose("config", overrides=[*normalise(overrides), *searched])
    except Exception as error:
        if (known := known_error(error)) is None:
            raise
        raise known from None


def plain(config: DictConfig) -> dict[str, Any]:
    """Return `config` as plain mappings and lists with every interpolation resolved."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        tree = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = str(getattr(error, "full_key", "") or "")
        known = explain(error)
        raise SpecError(key or known.where, known.what, known.fix) from None
    assert isinstance(tree, dict), "a composed configuration is a mapping"
    return {str(key): value for key, value in tree.items() if key != "hydra"}


def resolve(tree: dict[str, Any]) -> dict[str, Any]:
    """Return `tree` with every interpolation resolved, by OmegaConf where it is not plain."""
    try:
        require_plain(tree)
        return resolve_plainly(tree)
    except NotPlain:
        from omegaconf import OmegaConf

        return plain(OmegaConf.create(tree))


def read_tree(config: DictConfig, folders: Sequence[Path] = ()) -> tuple[dict[str, Any], BlockLookup]:
    """Return the plain mapping of `config`, its design file read in, with the lookup of blocks by name.

    `folders` are searched for `block/NAME.yaml` before the shipped ones.
    The keys of `data` that say what images are like, where they are null, are filled by the data set; none is read.
    """
    from omegaconf import OmegaConf

    config = config.copy()
    OmegaConf.set_struct(config, False)
    OmegaConf.set_readonly(config, False)
    data = config.get("data")
    if data is not None and data.get("name") is not None:
        data.update(_image_shape(plain(data)))
    arch = config.get("arch")
    if OmegaConf.is_dict(arch) and "file" in arch:
        config["arch"] = _from_file(arch)
    return plain(config), block_lookup([*folders, config_folder()])


def _image_shape(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the channels, the size and the number of classes of the images that `data` chooses."""
    from archsearch.decode import decode
    from archsearch.settings.data import DataSettings, image_shape

    settings = decode(DataSettings, data, "data")
    shape = image_shape(settings)._asdict()
    if shape["classes"] is None:
        from archsearch.data.load import count_classes

        shape["classes"] = count_classes(settings)
    return shape


def _from_file(arch: DictConfig) -> DictConfig:
    """Return the design in the file that `arch` names, changed by the other keys of `arch`."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    file = Path(str(arch["file"]))
    changes = OmegaConf.to_container(arch, resolve=False)
    assert isinstance(changes, dict), "a DictConfig holds a mapping"
    del changes["file"]
    try:
        return OmegaConf.merge(read_yaml(file), changes)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise SpecError(str(file), explain(error).what) from None


def block_lookup(folders: Sequence[Path]) -> BlockLookup:
    """Return the function that finds a block's mapping by its name in `folders`, the first one that has it.

    Each file is read once.
    """
    held: dict[str, Mapping[str, Any]] = {}

    def find(name: str) -> Mapping[str, Any]:
        if name in held:
            return held[name]
        for folder in folders:
            file = folder / "block" / f"{name}.yaml"
            if name.replace("/", "").isidentifier() and file.is_file():
                try:
                    held[name] = read_yaml(file)
                except SpecError as error:  # whoever asks puts its own place in front
                    raise SpecError("block", str(error)) from None
                return held[name]
        known = sorted({file.stem for folder in folders for file in (folder / "block").glob("*.yaml")})
        raise SpecError("block", f"there is no block '{name}'", suggest(name, known))

    return find


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the mapping in the YAML `file`, read as Hydra reads it; raises `SpecError` where there is none.

    Interpolations are left as they are.
    """
    try:
        return read_plain(file)
    except NotPlain:
        return _read_by_omegaconf(file)


def _read_by_omegaconf(file: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not file.is_file():
        what = "is a folder" if file.is_dir() else "there is no such file"
        raise SpecError(str(file), what, "Give a YAML file." if file.is_dir() else "")
    try:
        found = OmegaConf.load(file)
    except YAMLError as error:
        raise explain(error) from None
    except (OSError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise SpecError(str(file), f"cannot be read: {error}") from None
    if not OmegaConf.is_dict(found) or not found:
        raise SpecError(str(file), "must hold a mapping")
    raw = OmegaConf.to_container(found, resolve=False)
    assert isinstance(raw, dict), "a DictConfig holds a mapping"
    return {str(key): value for key, value in raw.items()}


class Composer:
    """Composes many variations of one base configuration: dotted keys cheaply, groups through Hydra and remembered."""

    def __init__(self, base: Sequence[str] = (), folders: Sequence[Path] = ()) -> None:
        """Compose from the overrides `base`; `folders` hold the user's own groups."""
        self._base, self._folders = tuple(base), tuple(folders)
        self._trees: dict[tuple[str, ...], tuple[dict[str, Any], frozenset[str]]] = {}
        self.blocks = block_lookup([*folders, config_folder()])

    def compose(self, assignments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plain, resolved mapping of the base with `assignments` made.

        Keys without a dot or with `@` are groups or scalars and go through Hydra, as do keys that some
        interpolation of the base reads; the others are set on a copy.
        """
        slow: dict[str, Any] = {}
        fast: dict[str, Any] = {}
        _, read = self._tree(())
        for key, value in assignments.items():
            dotted = key.removeprefix("block@")
            (fast if "." in dotted and not dotted.startswith("hydra.") and dotted not in read else slow)[dotted] = value
        tree, _ = self._tree(tuple(f"{key}={_literal(value)}" for key, value in sorted(slow.items())))
        return _assigned(tree, fast)

    def _tree(self, overrides: tuple[str, ...]) -> tuple[dict[str, Any], frozenset[str]]:
        if overrides not in self._trees:
            config = compose([*self._base, *overrides], self._folders)
            tree, _ = read_tree(config, self._folders)
            self._trees[overrides] = tree, _interpolated(config)
        return self._trees[overrides]


def _interpolated(config: DictConfig) -> frozenset[str]:
    """Return the keys that interpolations of `config` read."""
    from omegaconf import OmegaConf

    return frozenset(re.findall(r"\$\{([\w.]+)\}", OmegaConf.to_yaml(config)))


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def _assigned(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `tree` with `values` set at their dotted keys; what lies beside their paths is shared."""
    copies: dict[str, dict[str, Any]] = {"": dict(tree)}
    for key, value in values.items():
        _copied(copies, key.rpartition(".")[0])[key.rpartition(".")[2]] = value
    return copies[""]


def _copied(copies: dict[str, dict[str, Any]], where: str) -> dict[str, Any]:
    """Return the copy of the mapping at `where`, made at most once and put into the copy around it."""
    if where in copies:
        return copies[where]
    above, _, name = where.rpartition(".")
    around = _copied(copies, above)
    inner = around.get(name)
    if inner is not None and not isinstance(inner, Mapping):
        raise SpecError(where, "is not a mapping, nothing can be set below it")
    copies[where] = around[name] = dict(inner or {})
    return copies[where]
