"""The size of the weights on disk, as an objective."""

from archsearch.runs.execute import TrainedRun


class FileSize:
    """Bytes of model.safetensors."""

    direction = "minimize"
    unit = "bytes"

    def __call__(self, run: TrainedRun) -> float:
        """Return the value of a trained network."""
        return float((run.run_dir / "model.safetensors").stat().st_size)


file_size = FileSize()
