# SPDX-License-Identifier: Apache-2.0
"""pytest, and its counts in the form of the other runners: N passed, M failed. Arguments are pytest's."""
import pathlib
import sys

import pytest


class Counter:
    passed = failed = 0

    def pytest_runtest_logreport(self, report):
        self.passed += report.when == "call" and report.passed
        self.failed += report.failed

    def pytest_collectreport(self, report):
        self.failed += report.failed


counter = Counter()
status = pytest.main(["-q", "-p", "no:cacheprovider", *(sys.argv[1:] or [str(pathlib.Path(__file__).parent)])], plugins=[counter])
print(f"{counter.passed} passed, {counter.failed} failed")
sys.exit(int(status))
