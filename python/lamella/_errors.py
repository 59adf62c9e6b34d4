# SPDX-License-Identifier: Apache-2.0
"""The exceptions that lamella raises. Each also derives from the built-in exception that fits, and has the error's code as `code`."""
from __future__ import annotations


class Error(Exception):
    """Base of the exceptions that lamella raises.

    >>> import lamella
    >>> try:
    ...     lamella.load(b"no model")
    ... except lamella.Error as error:
    ...     error.code
    'E_ARCHIVE'
    """

    code: str
    """The kind of error: "E_SHAPE", "E_DTYPE" and so on."""

    def __init__(self, message: str, code: str = "E_ARGUMENT") -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[Error], tuple[str, str]]:
        return type(self), (str(self), self.code)


class LoadError(Error, ValueError):
    """A file is not a model that lamella can run. The message says where in the file, what was found, and what is allowed."""


class FileError(LoadError, OSError):
    """A file cannot be opened or read."""


class ArgumentError(Error, ValueError):
    """An argument does not fit: a shape, a dtype, a name, an option."""


class DeviceError(Error, RuntimeError):
    """A device is absent, refused a call, or was lost."""


class OutOfMemoryError(Error, MemoryError):
    """Device memory ran out, or the memory_limit was reached. Host memory running out is a plain MemoryError."""
