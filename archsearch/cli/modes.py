"""Checks that a command matches its mode, single run or search; the error names the command that was probably meant."""

from __future__ import annotations

from collections.abc import Sequence

from archsearch.cli.unknown import top_keys, unknown_key
from archsearch.config_files import ConfigSources, options_of
from archsearch.errors import SpecError
from archsearch.overrides import group_of, key_of, run_command, text_of

_OF_SEARCH = (
    *("study.trials", "study.budget", "study.rungs", "study.enqueue", "study.warm_start"),
    *("study.workers", "study.repair", "study.retry_failed", "study.max_failures"),
    *("sampler", "pruner", "study.sampler", "study.pruner"),
)
"""Keys and groups that only a search reads; a single run also reads a study's name, storage and objectives."""

_EXAMPLE = "space=cifar"


def require_no_search(overrides: Sequence[str], space: object, sources: ConfigSources) -> None:
    """Raise `SpecError` if a single run has a `space`, or its `overrides` set a key that only a search reads."""
    chosen = [one for one in overrides if _is_of_space(key_of(one)) and not _is_no_space(one)]
    if chosen:
        fix = f"Search it: {_searching(overrides, sources)}"
        raise SpecError(chosen[-1].lstrip("+"), "a space is searched with -m; without it one design is trained", fix)
    if space is not None:
        fix = f"Search it: {_searching(overrides, sources)} or train the default design: space=null"
        raise SpecError("space", "is set by a file, and searched only with -m", fix)
    for one in overrides:
        if _is_of_search(key_of(one)):
            added = [_EXAMPLE, *(other for other in overrides if not _is_of_space(key_of(other)))]
            fix = f"A search has -m and a space: {_searching(added, sources)} {_spaces()}"
            raise SpecError(key_of(one), "is a setting of a search, and without -m one design is trained", fix)


def require_search(overrides: Sequence[str], space: str | None, sources: ConfigSources) -> None:
    """Raise the `SpecError` of a command that has -m but nothing to search over; `space` is the selected space."""
    if space is not None:
        fix = "Give a key several values, such as 'arch.width: choice(0.5, 1.0)'. See docs/search.md."
        raise SpecError(f"space={space}", "contains nothing to search over: no key has several values", fix)
    for key in map(key_of, overrides):
        if key.partition(".")[0] not in {*top_keys(), "hydra"} and "@" not in key and "/" not in key:
            raise unknown_key(key)
    single = [one for one in overrides if not _is_of_search(key_of(one)) and group_of(one) != "space"]
    fix = (
        f"Train one design: {run_command(map(_plain, single), sources.flags())} or search a space: "
        f"{_searching([_EXAMPLE, *overrides], sources)} {_spaces()}, or list values: block=normal,dilated"
    )
    raise SpecError("-m", "there is nothing to search over: no space, and no key with several values", fix)


def _is_of_search(key: str) -> bool:
    return any(key == one or key.startswith(f"{one}.") for one in _OF_SEARCH)


def _is_of_space(key: str) -> bool:
    return key.partition(".")[0] == "space"


def _is_no_space(override: str) -> bool:
    return key_of(override) == "space" and text_of(override) in ("", "null")


def _searching(overrides: Sequence[str], sources: ConfigSources) -> str:
    return run_command(map(_plain, overrides), [*sources.flags(), "-m"])


def _plain(override: str) -> str:
    """Return an override as a user writes it: without the prefix `++`, which archsearch adds to dotted keys."""
    return override.removeprefix("++")


def _spaces() -> str:
    return f"(spaces: {', '.join(options_of('space'))})"
