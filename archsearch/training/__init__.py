"""The training of one network on one data set; never a design, hydra or optuna.

Names are imported when they are asked for: values and progress need no torch, the rest does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archsearch.training.checkpoint import discard_checkpoint as discard_checkpoint
    from archsearch.training.checkpoint import write_weights as write_weights
    from archsearch.training.device import choose_device as choose_device
    from archsearch.training.device import freed_after as freed_after
    from archsearch.training.evaluation import EvaluationInput as EvaluationInput
    from archsearch.training.evaluation import Score as Score
    from archsearch.training.evaluation import logits_of as logits_of
    from archsearch.training.evaluation import score_of as score_of
    from archsearch.training.evaluation import to_device as to_device
    from archsearch.training.loop import train as train
    from archsearch.training.progress import Progress as Progress
    from archsearch.training.progress import Silent as Silent
    from archsearch.training.progress import make_progress as make_progress
    from archsearch.training.result import EpochRecord as EpochRecord
    from archsearch.training.result import TrainResult as TrainResult

_MODULES = {
    "checkpoint": ("discard_checkpoint", "write_weights"),
    "device": ("choose_device", "freed_after"),
    "evaluation": ("EvaluationInput", "Score", "logits_of", "score_of", "to_device"),
    "loop": ("train",),
    "progress": ("Progress", "Silent", "make_progress"),
    "result": ("EpochRecord", "TrainResult"),
}
_OWNERS = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Return the public `name` from the module that owns it."""
    if name not in _OWNERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_OWNERS[name]}"), name)
