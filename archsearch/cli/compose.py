"""Composition of overrides into one plain mapping, by Hydra's compose API; code after it never sees a `DictConfig`.

Hydra and OmegaConf are imported inside functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.cli.arguments import normalise, require_folders, with_files
from archsearch.cli.messages import explain, known_error
from archsearch.config_files import ConfigSources, block_lookup, config_folder, read_design
from archsearch.config_files.limits import INTERPOLATION, check_scalar, check_values, require_size
from archsearch.config_files.rules import check_overrides
from archsearch.decode import join
from archsearch.errors import SpecError
from archsearch.overrides import assign

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from archsearch.design.spec import BlockLookup

Tree = dict[str, Any]


_SHIPPED = ConfigSources()


def compose_tree(overrides: Sequence[str] = (), sources: ConfigSources = _SHIPPED) -> tuple[Tree, BlockLookup]:
    """Return the plain mapping composed from `overrides`, the shipped groups and `sources`; see `read_tree`."""
    overrides, sources = with_files(list(overrides), sources)
    return read_tree(compose(overrides, sources), sources.paths)


def compose(overrides: Sequence[str] = (), sources: ConfigSources = _SHIPPED) -> DictConfig:
    """Return the configuration composed from `overrides`, the shipped groups and `sources`.

    Raises `SpecError` for overrides that Hydra cannot use, and for folders that do not exist.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from archsearch.cli.sources import check_files

    require_folders(sources)
    GlobalHydra.instance().clear()
    check_files()
    try:
        with initialize_config_dir(config_dir=str(config_folder()), version_base="1.3"):
            _search(GlobalHydra.instance().config_loader(), sources)
            composed = hydra_compose(sources.name, overrides=normalise(overrides), return_hydra_config=True)
            return _without_hydra(composed)
    except Exception as error:
        if (known := known_error(error)) is None:
            raise
        raise known from None


def _search(loader: Any, sources: ConfigSources) -> None:
    """Add the folders of `sources` to Hydra's search path, at the position where `--config-dir` adds its folder."""
    from hydra.core.config_search_path import SearchPathQuery

    path = loader.get_search_path()
    for folder in sources.folders:
        place = folder if "://" in folder else f"file://{folder}"
        path.prepend(provider="command-line", path=place, anchor=SearchPathQuery(provider="schema"))
    loader.repository.initialize_sources(path)


def _without_hydra(config: DictConfig) -> DictConfig:
    """Return `config` without Hydra's own node.

    Unless a job of Hydra is running, `${hydra:...}` reads that node from now on, as it would in a job.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf, open_dict

    present: Any = HydraConfig.instance().cfg
    if present is None or OmegaConf.is_missing(present.hydra.runtime, "output_dir"):  # no job is running
        HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def read_tree(config: DictConfig, folders: Sequence[Path] = ()) -> tuple[Tree, BlockLookup]:
    """Return the plain mapping of `config` with its design file read in, and the lookup of blocks by name.

    `folders` are searched for `block/NAME.yaml` before the shipped folder.
    `data.channels`, `data.image_size` and `data.classes` are those of the data set if null; no image is read.
    Changes `config`.
    """
    from omegaconf import OmegaConf

    OmegaConf.set_struct(config, False)
    OmegaConf.set_readonly(config, False)
    data = config.get("data")
    if data is not None and data.get("name") is not None:
        data.update(_image_shape(plain(data)))
    arch = config.get("arch")
    if OmegaConf.is_dict(arch) and "file" in arch:
        config["arch"] = _from_file(arch)
    return plain(config), block_lookup([*folders, config_folder()])


def plain(config: DictConfig) -> Tree:
    """Return `config` as plain mappings and lists with every interpolation resolved, without Hydra's own node.

    Raises `SpecError` for a value that cannot be resolved, and for more values or levels than `config_files.limits`
    allows.
    """
    from omegaconf.errors import OmegaConfBaseException

    count = [0]
    try:
        return {str(key): _resolved(config[key], str(key), 1, count) for key in config if key != "hydra"}
    except OmegaConfBaseException as error:
        key = str(getattr(error, "full_key", "") or "")
        known = explain(error)
        raise SpecError(key or known.where, known.what, known.fix) from None


def _resolved(node: Any, where: str, depth: int, count: list[int]) -> Any:
    """Return the value of a node without OmegaConf's types; `count` holds the number of values so far.

    `OmegaConf.to_container` would resolve all values before any check, however often interpolations multiply them.
    """
    from omegaconf import DictConfig, ListConfig, OmegaConf

    count[0] += 1
    if isinstance(node, DictConfig | ListConfig):
        keys: Any = node.keys() if isinstance(node, DictConfig) else range(len(node))
        count[0] += INTERPOLATION * sum(OmegaConf.is_interpolation(node, key) for key in keys)
    require_size(where, depth, count[0])
    if isinstance(node, DictConfig):
        return {key: _resolved(node[key], join(where, key), depth + 1, count) for key in node}
    if isinstance(node, ListConfig):
        return [_resolved(item, f"{where}[{index}]", depth + 1, count) for index, item in enumerate(node)]
    check_scalar(node, where)
    return node


def resolve(tree: Mapping[str, Any]) -> Tree:
    """Return `tree` with every interpolation resolved; raises `SpecError` for values that no YAML file may have."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    check_values(tree)
    try:
        config = OmegaConf.create(dict(tree))
    except OmegaConfBaseException as error:
        raise explain(error) from None
    return plain(config)


def _image_shape(data: Mapping[str, Any]) -> Tree:
    """Return the channels, the size and the number of classes of the images that `data` selects."""
    from archsearch.decode import decode
    from archsearch.settings.data import DataSettings, image_shape

    settings = decode(DataSettings, data, "data")
    shape = image_shape(settings)._asdict()
    if shape["classes"] is None:
        from archsearch.data.load import count_classes

        shape["classes"] = count_classes(settings)
    return shape


def _from_file(arch: DictConfig) -> DictConfig:
    """Return the design in the file `arch.file`, with the other keys of `arch` merged into it."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    file = Path(str(arch["file"]))
    changes = OmegaConf.to_container(arch, resolve=False)
    assert isinstance(changes, dict), "a DictConfig holds a mapping"
    del changes["file"]
    try:
        return OmegaConf.merge(read_design(file), changes)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise SpecError(str(file), explain(error).what) from None


class Composer:
    """Composes many variations of one base configuration: sets dotted keys on a copy, composes groups once by Hydra."""

    def __init__(self, base: Sequence[str] = (), sources: ConfigSources = _SHIPPED) -> None:
        """Create a composer for the overrides `base` and the user's own `sources`."""
        self._base, self._sources = tuple(base), sources
        self._trees: dict[tuple[str, ...], tuple[Tree, frozenset[str]]] = {}
        self.blocks = block_lookup([*sources.paths, config_folder()])

    def compose(self, assignments: Mapping[str, Any]) -> Tree:
        """Return the plain, resolved mapping of the base with `assignments` applied.

        Hydra composes keys without a dot (groups or scalars), keys of `hydra`, and keys that an interpolation of the
        base reads. The other keys, and `block@KEY` as KEY, are set on a copy.
        """
        slow: dict[str, Any] = {}
        fast: dict[str, Any] = {}
        _, read = self._tree(())
        for key, value in assignments.items():
            dotted = key.removeprefix("block@")
            (fast if "." in dotted and not dotted.startswith("hydra.") and dotted not in read else slow)[dotted] = value
        tree, _ = self._tree(tuple(assign(key, value) for key, value in sorted(slow.items())))
        return _assigned(tree, fast)

    def _tree(self, overrides: tuple[str, ...]) -> tuple[Tree, frozenset[str]]:
        if overrides not in self._trees:
            check_overrides(overrides, "study")  # a trial's assignments may come from a database
            config = compose([*self._base, *overrides], self._sources)
            tree, _ = read_tree(config, self._sources.paths)
            self._trees[overrides] = tree, _interpolated(config)
        return self._trees[overrides]


def _interpolated(config: DictConfig) -> frozenset[str]:
    """Return the keys that interpolations of `config` read."""
    from omegaconf import OmegaConf

    return frozenset(re.findall(r"\$\{([\w.]+)\}", OmegaConf.to_yaml(config)))


def _assigned(tree: Mapping[str, Any], values: Mapping[str, Any]) -> Tree:
    """Return a copy of `tree` with `values` set at their dotted keys; the rest is shared."""
    copies: dict[str, Tree] = {"": dict(tree)}
    for key, value in values.items():
        _copied(copies, key.rpartition(".")[0])[key.rpartition(".")[2]] = value
    return copies[""]


def _copied(copies: dict[str, Tree], where: str) -> Tree:
    """Return the copy of the mapping at `where`, made at most once and stored in the copy of its parent."""
    if where in copies:
        return copies[where]
    above, _, name = where.rpartition(".")
    around = _copied(copies, above)
    inner = around.get(name)
    if inner is not None and not isinstance(inner, Mapping):
        raise SpecError(where, "is not a mapping, so it has no keys")
    copies[where] = around[name] = dict(inner or {})
    return copies[where]
