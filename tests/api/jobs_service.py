"""A pool of its own process, to be killed: ``python -m tests.api.jobs_service W [die]``.

``die`` is where it kills itself: ``before`` the end of the transaction that publishes, or ``after``.
"""

import os
import signal
import sys
import time

from api.limits import JobSettings
from api.pool import Pool
from geo.store import open_store
from geo.store.change import Change
from geo.store.store import Store, now_utc


def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    store = open_store(sys.argv[1])
    if sys.argv[2:] == ["before"]:
        Change.finish = die
    if sys.argv[2:] == ["after"]:
        publish = Store.replace_layers

        def publish_and_die(*args, **kwargs):
            publish(*args, **kwargs)
            die()

        Store.replace_layers = publish_and_die
    pool = Pool(store, JobSettings(threads=1, nice=0), clock=now_utc)
    pool.start()
    print("stands", flush=True)  # noqa: T201 - who started it waits for this
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main()
