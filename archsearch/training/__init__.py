"""The training of one network on one data set; never a design, hydra or optuna. `loop.train` is the way in."""
