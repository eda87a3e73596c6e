"""The training of one network on one data set; never a design, hydra or optuna. The entry point is `loop.train`."""
