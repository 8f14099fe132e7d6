"""The errors that the user can mend, kept apart from bugs."""


class InputError(ValueError):
    """A config, a flag or an input file is wrong. The message names what, where and the remedy.

    Commands end with exit code 2 on it; every other exception ends with 1.
    """


class DivergedError(InputError):
    """A model's answers are not finite numbers."""


class Stopped(Exception):  # noqa: N818 - it is no error
    """The command was asked to stop, and has saved what the same command needs to go on."""


class DamagedFileError(RuntimeError):
    """A file of prepared data is not what was written: damaged, replaced or cut short."""


class WriteError(RuntimeError):
    """A file could not be written, such as on a full disk. The message names it, and what is still there."""
