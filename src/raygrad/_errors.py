"""Mistakes that the caller can mend."""


class InputError(ValueError):
    """A file or another input cannot be used; the message says what was expected and what came."""


class Interrupted(Exception):
    """Whoever asked for something long wants it no longer."""


class WritingError(OSError):
    """A file cannot be written whole: the disk is full, or worse. What was there before is as it was."""


class MissingLibraryError(ImportError):
    """A library is not installed that only some jobs need; the message says how to install it."""
