"""Trained networks given back from the folders of their runs. Knows no hydra."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from archsearch.design.lower import lower
from archsearch.design.spec import decode_design
from archsearch.errors import DataError, SpecError
from archsearch.network.assemble import assemble


def load_network(run_dir: Path) -> nn.Module:
    """Return the network that `model.safetensors` in `run_dir` holds, rebuilt from the design inside it.

    The weights alone are enough: the design is in their metadata. In evaluation mode, on the CPU, float32.
    Raises `DataError` where the file is missing or not a run's.
    """
    import yaml
    from safetensors import SafetensorError, safe_open

    file = run_dir if run_dir.is_file() else run_dir / "model.safetensors"
    if not file.is_file():
        raise DataError(f"{file}: there are no weights: the run has not finished. Go on with resume={run_dir}")
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"{file}: is not a whole safetensors file ({error})") from None
    if "design" not in metadata:
        raise DataError(f"{file}: carries no design; it was not written by archsearch")
    try:
        network = assemble(lower(decode_design(yaml.safe_load(metadata["design"]), _no_blocks)))
        network.load_state_dict(weights)
    except (yaml.YAMLError, SpecError, RuntimeError) as error:
        raise DataError(f"{file}: its weights are not those of the design that it carries ({error})") from None
    return network.eval()


def _no_blocks(name: str) -> dict[str, object]:
    raise SpecError("", f"the design names the block '{name}', but a run's design holds its blocks itself")
