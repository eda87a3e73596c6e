"""The exceptions of archsearch; each has the exit code of the command that it ends.

    ArchsearchError            1   an error that archsearch raises
    ├── UsageError             2   the input cannot be used: nothing was started
    │   ├── SpecError          2   a configuration or a design that cannot be read
    │   │   └── ChannelsError  2   a number of channels that a layer cannot have
    │   ├── LimitError         2   a design that breaks its limits
    │   └── DataError          2   images that are missing, corrupt or inconsistent
    ├── RunError               1   a run that failed after its start
    │   ├── DivergedError      1   the loss stopped being a finite number
    │   ├── DeviceMemoryError  1   the device has not enough memory for a batch
    │   └── StorageError       2   a file or database that cannot be written or read
    └── InterruptedRun       130   stopped by the user; a checkpoint was saved

This module imports nothing.
"""

from __future__ import annotations


class ArchsearchError(Exception):
    """Base of every error that archsearch raises on purpose."""

    exit_code = 1


class UsageError(ArchsearchError):
    """The input cannot be used; nothing was started, nothing was written."""

    exit_code = 2


class SpecError(UsageError):
    """A configuration or design that cannot be read: the place, the error, and the fix."""

    def __init__(self, where: str, what: str, fix: str = "") -> None:
        """Make the message `where: what. fix`; `where` is a dotted key or a file."""
        self.where, self.what, self.fix = where, what, fix
        prefix = f"{where}: " if where else ""
        sentence = what if what.endswith((".", "?", "!")) or not fix else f"{what}."
        super().__init__(f"{prefix}{sentence} {fix}".rstrip())

    def __reduce__(self) -> tuple[type[SpecError], tuple[str, str, str]]:
        """Return how to unpickle it, for the transfer between processes."""
        return type(self), (self.where, self.what, self.fix)


class ChannelsError(SpecError):
    """A number of channels that a layer cannot have, for example because its groups do not divide it."""


class LimitError(UsageError):
    """A design that breaks at least one limit; the message lists all of them with their fixes."""


class DataError(UsageError):
    """Images that are missing, corrupt or inconsistent."""


class RunError(ArchsearchError):
    """A run that failed after its start."""


class DivergedError(RunError):
    """The loss or a weight stopped being a finite number."""


class DeviceMemoryError(RunError):
    """The device does not have enough memory for a training step; a smaller batch may fit."""


class StorageError(RunError):
    """A file or database that cannot be written or read, for example because the disk is full."""

    exit_code = 2


class InterruptedRun(ArchsearchError):
    """Stopped by the user after a checkpoint was written."""

    exit_code = 130
