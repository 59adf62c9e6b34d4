# SPDX-License-Identifier: Apache-2.0
"""What lamella tells goes to the logger "lamella"."""
import logging
import subprocess
import sys
import threading

import numpy as np
from conftest import MLP

import lamella


def test_messages_are_records(caplog, x):
    with caplog.at_level(logging.INFO, logger="lamella"):
        m = lamella.load(MLP, device="cpu", threads=1, cached_programs=1)
        m.predict(x[:3])
        m.predict(x[:4])
    texts = [record.getMessage() for record in caplog.records if record.name == "lamella"]
    assert "is made for cpu" in texts[0] and "is planned for 3 rows" in texts[1]
    assert [record.levelno for record in caplog.records if "cached_programs, 1" in record.getMessage()] == [logging.WARNING]


def test_nothing_is_printed_and_the_end_of_the_process_is_quiet():
    program = f"import lamella, numpy as np; m = lamella.load({str(MLP)!r}, cached_programs=1)\n" \
              "for rows in (1, 2, 3): m.predict(np.zeros((rows, 784), 'float32'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


class Calls(logging.Handler):
    """Calls lamella, from the thread that logs, and then fails."""

    def __init__(self, model, x):
        super().__init__()
        self.model, self.x, self.seen = model, x, 0

    def emit(self, record):
        self.seen += 1
        self.model.predict(self.x[:self.seen % 17 + 1])
        raise RuntimeError("in a handler")


def test_a_handler_may_call_lamella_and_fail(x, monkeypatch):
    other = lamella.load(MLP, device="cpu", threads=1)
    failures = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: failures.append(what.exc_type))
    handler = Calls(other, x)
    logger = logging.getLogger("lamella")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        m = lamella.load(MLP, device="cpu", threads=1)
        want = other.predict(x[:5])

        def work():
            for rows in range(1, 20):
                assert m.predict(x[:rows]).shape == (rows, 10)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        np.testing.assert_array_equal(m.predict(x[:5]), want)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert handler.seen >= 20 and failures and set(failures) == {RuntimeError}
