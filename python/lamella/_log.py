# SPDX-License-Identifier: Apache-2.0
"""Sends lamella's log messages to the logger "lamella", which prints nothing unless the program configures logging."""
from __future__ import annotations

import atexit
import logging

from . import _core

LOGGER = logging.getLogger("lamella")
LOGGER.addHandler(logging.NullHandler())
_LEVELS = (logging.INFO, logging.WARNING)


def _tell(level: int, message: str) -> None:
    LOGGER.log(_LEVELS[level], "%s", message)


_core.set_log_function(_tell)
atexit.register(_core.set_log_function, None)
