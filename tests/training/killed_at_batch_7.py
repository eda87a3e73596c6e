"""Trains the tests' tiny network and kills its own process at the seventh batch: RUN_DIR SETTINGS_AS_JSON."""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)
tiny = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
fit = tiny["make_fit"](tiny["make_dataset"](), Path(sys.argv[1]))
killer = tiny["Jitter"](lambda batch: os.kill(os.getpid(), signal.SIGKILL) if batch == 7 else None)
fit(train=json.loads(sys.argv[2]), augmenter=killer)
sys.exit("the training came to its end")
