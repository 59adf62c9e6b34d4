# SPDX-License-Identifier: Apache-2.0
"""The GIL, threads, asyncio and Ctrl-C."""
import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lamella


def test_many_threads_share_one_model(mlp, x):
    want = [mlp(x[:n]) for n in range(21)]

    def work(seed):
        rng = np.random.default_rng(seed)
        for n in rng.integers(0, 21, 200):
            assert (mlp(x[:n]) == want[n]).all()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


def test_set_activation_while_others_call(mlp, x):
    name = mlp.layers[1].name
    mlp.set_activation(name, "relu")
    first = mlp(x)
    mlp.set_activation(name, "tanh")
    second = mlp(x)
    assert not (first == second).all()
    end = threading.Event()

    def work():
        while not end.is_set():
            y = mlp(x)
            assert (y == first).all() or (y == second).all()

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(work) for _ in range(3)]
        for i in range(20):
            mlp.set_activation(name, "relu" if i % 2 else "tanh")
        end.set()
        assert not [future.exception() for future in futures if future.exception()]


def test_others_run_while_it_computes(large_file):
    m = lamella.load(large_file, device="cpu", threads=1)
    x = np.ones((20000, 256), np.float32)
    for call in (m.predict, m):
        done = threading.Event()
        thread = threading.Thread(target=lambda: (call(x), done.set()))
        thread.start()
        turns = 0
        while not done.is_set():
            turns += 1
            time.sleep(0.001)
        thread.join()
        assert turns > 10


def test_asyncio_through_a_thread(mlp, x):
    async def main():
        return await asyncio.gather(*[asyncio.to_thread(mlp, x) for _ in range(10)])

    assert all((y == mlp(x)).all() for y in asyncio.run(main()))


@pytest.mark.parametrize("call", ["m.predict(x)", "m(x)", "m.predict(x, out=np.empty((len(x), 1), 'float32'))", "m.predict(x, batch_size=100000)"])
def test_ctrl_c_ends_a_long_call(large_file, tmp_path, call):
    (tmp_path / "m.keras").write_bytes(large_file)
    program = textwrap.dedent(f"""
        import _thread, signal, threading, time
        import numpy as np
        import lamella
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore SIGINT, and so do their children
        m = lamella.load("m.keras", device="cpu")
        x = np.zeros((300000, 256), np.float32)
        begin = []
        threading.Timer(0.5, lambda: (begin.append(time.monotonic()), _thread.interrupt_main())).start()
        try:
            {call}
            print("it ended with an answer")
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - begin[0] < 20)
        print((m(x[:3]) == m(x[:3])).all())
    """)
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.stdout == "interrupted True\nTrue\n", ended


def test_calls_known_to_be_short_stay_on_the_callers_thread():
    m = lamella.Sequential([lamella.Input((64,)), *[lamella.Dense(64, "tanh") for _ in range(4)]], device="cpu")
    x, before = np.zeros((2000, 64), np.float32), lamella._core.helpers_made()
    m(x)
    assert lamella._core.helpers_made() == before + 1  # nothing is known of a first call
    for _ in range(3):
        m(x), m.predict(x, out=np.empty((2000, 64), np.float32))
    assert lamella._core.helpers_made() == before + 1


def test_a_handlers_own_exception_comes_out(large_file):
    import signal
    m = lamella.load(large_file, device="cpu")

    class Stop(Exception):
        pass

    def handler(*_):
        raise Stop

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        threading.Timer(0.3, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)).start()
        with pytest.raises(Stop):
            m.predict(np.zeros((300000, 256), np.float32))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert m(np.zeros((2, 256), np.float32)).shape == (2, 1)


def test_errors_of_long_calls_are_those_of_short_ones(large_file):
    m = lamella.load(large_file, device="cpu")
    with pytest.raises(lamella.ArgumentError, match="E_SHAPE"):
        m.predict(np.zeros((300000, 255), np.float32))
