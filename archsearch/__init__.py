"""archsearch: small convolutional networks, described in YAML, checked against hard limits, trained and searched.

    from archsearch import load_design, analyse, check, build, from_module

    design = load_design("conf/arch/c1c2c3c4.yaml", block="dilated")
    analyse(design).receptive_field       # px
    check(design).margins                 # one per limit
    network = build(design)               # torch.nn.Module: (B, 3, H, W) to (B, K)
    from_module(network).design           # and back, from any torch.nn.Module

The names are imported on first use, so that a command like `archsearch.run --help` does not pay for the rest.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archsearch.library import analyse, build, check, from_module, load, load_design

__all__ = ["load_design", "analyse", "check", "build", "load", "from_module"]


def __getattr__(name: str) -> Any:
    """Import `name` from `archsearch.library` on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'archsearch' has no attribute '{name}'")
    from archsearch import library

    return getattr(library, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
