"""The errors that the user can mend, kept apart from bugs."""


class InputError(ValueError):
    """A config, a flag or an input file is wrong. The message names what, where and the remedy.

    Commands end with exit code 2 on it; every other exception ends with 1.
    """


class DamagedFileError(RuntimeError):
    """A file of prepared data is not what was written: damaged, replaced or cut short."""
