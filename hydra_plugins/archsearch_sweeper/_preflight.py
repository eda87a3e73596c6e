"""Checks of what all trials of a search share, before the first trial is recorded.

Torch is imported only if the device is checked.
"""

from __future__ import annotations

from collections.abc import Collection

from archsearch.errors import SpecError
from archsearch.settings.experiment import Experiment
from archsearch.settings.objectives import objective


def require_usable(experiment: Experiment, *, searched: Collection[str], here: bool) -> None:
    """Raise `SpecError` if what the designs share cannot be used: the tracker, the validation images, the device.

    Keys that are `searched` over are not checked, nor is the device if the jobs run on other machines (not `here`).
    """
    measured = [name for name in experiment.study.objectives if objective(name).measured]
    if measured and experiment.data.validation == 0:
        what = f"is 0: no images are held out to measure the {measured[0]} that study.objectives asks for"
        raise SpecError("data.validation", what, "Set data.validation=0.1.")
    require_machine(experiment, searched=searched, here=here)


def require_machine(experiment: Experiment, *, searched: Collection[str] = (), here: bool = True) -> None:
    """Raise `SpecError` if this machine lacks what the experiment needs: the tracker, the device, its precision.

    `searched` and `here` are as in `require_usable`.
    """
    from archsearch.tracking.guarded import require_tracker

    require_tracker(experiment.tracking)
    if not here or "train" in searched or "train.device" in searched:
        return
    from archsearch.training.device import choose_device, choose_precision

    device = choose_device(experiment.train.device)
    if "train.precision" in searched:
        return
    precision = choose_precision(experiment.train, device)
    if "train.cuda_graphs" not in searched and experiment.train.cuda_graphs is True:
        from archsearch.training.cuda_graphs import check_graphs

        check_graphs(True, device, precision)
