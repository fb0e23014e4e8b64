"""What the page says of what went wrong."""

from raygrad._errors import InputError, MissingLibraryError


def said_of_mistake(error: Exception) -> str:
    """A mistake of the user's in its own words; of a fault of ours, that it is one."""
    if isinstance(error, InputError | MissingLibraryError | ValueError | TypeError | OSError | MemoryError):
        return str(error) or type(error).__name__
    return f"Something went wrong in raygrad: {type(error).__name__}: {error}"
