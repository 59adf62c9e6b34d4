# SPDX-License-Identifier: Apache-2.0
"""What lamella raises. Each class is also the built-in one that fits, and has the error's code, which ends the message, as `code`."""
from __future__ import annotations


class Error(Exception):
    """Base of what lamella raises.

    >>> import lamella
    >>> try:
    ...     lamella.load(b"no model")
    ... except lamella.Error as error:
    ...     error.code
    'E_ARCHIVE'
    """

    code: str
    """What kind of thing went wrong: "E_SHAPE", "E_DTYPE" and so on."""

    def __init__(self, message: str, code: str = "E_ARGUMENT") -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[Error], tuple[str, str]]:
        return type(self), (str(self), self.code)


class LoadError(Error, ValueError):
    """A file is no model that lamella can run: the message says where in it, what was found, and what is allowed."""


class FileError(LoadError, OSError):
    """A file cannot be opened or read."""


class ArgumentError(Error, ValueError):
    """An argument does not fit: a shape, a dtype, a name, an option."""


class DeviceError(Error, RuntimeError):
    """A device is absent, refused a call, or is lost."""


class OutOfMemoryError(Error, MemoryError):
    """Memory of a device, or what memory_limit allows of it, ran out; the host's is a plain MemoryError."""
