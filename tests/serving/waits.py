# SPDX-License-Identifier: Apache-2.0
"""Waiting on a busy machine: until something is there, with limits that only a server that hangs reaches."""
import time

LIMIT = 600  # seconds
# Ray starts workers and Serve's proxies anew when they take longer than this, 60, 5 and 10 seconds otherwise: on a busy machine again and again.
OF_RAY = {"RAY_worker_register_timeout_seconds": str(LIMIT), "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": str(LIMIT),
          "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": str(LIMIT)}


def until(there, every=0.1):
    """Asks there() until it is true, and returns whether it ever was."""
    ends = time.monotonic() + LIMIT
    while not there():
        if time.monotonic() > ends:
            return False
        time.sleep(every)
    return True


def patiently(call):
    """call(), again where it gives up: serve.start() and serve.run() wait for 60 seconds at most, and then find what they have started."""
    ends = time.monotonic() + LIMIT
    while True:
        try:
            return call()
        except TimeoutError:
            if time.monotonic() > ends:
                raise
