"""A PostgreSQL server of the tests' own: Debian's, in a temporary folder, reached by a socket nobody else sees."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg

NOT_THERE = "no PostgreSQL with PostGIS on this machine: scripts/setup.sh postgis"
_MADE = ("-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
# Nothing of it outlives the tests, so nothing need reach the disk.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
}


def programs():
    """Folder of the newest server that has PostGIS; None if there is none."""
    found = []
    for folder in Path("/usr/lib/postgresql").glob("*/bin"):
        version = folder.parent.name
        if Path(f"/usr/share/postgresql/{version}/extension/postgis.control").is_file():
            found.append((int(version), folder))
    return max(found)[1] if found else None


class Server:
    """The server, and new databases on it."""

    def __init__(self, folder):
        self.folder = folder
        self._numbers = itertools.count()

    def url(self, name):
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def run(self, statement):
        with psycopg.connect(
            host=str(self.folder), user="postgres", dbname="postgres", autocommit=True
        ) as held:
            held.execute(statement)

    def database(self, template="template_postgis"):
        """The URL of a new database, a copy of another."""
        name = f"test{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url):
        name = url.partition("@/")[2].partition("?")[0]
        self.run(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def server():
    """A server that ends with the process that started it, however that ends."""
    binaries = programs()
    folder = Path(tempfile.mkdtemp(prefix="taotu-pg-"))
    data = folder / "data"
    owner = []
    if os.geteuid() == 0:  # the server refuses to run as root
        user = next(name for name in ("postgres", "nobody") if _known(name))
        owner = ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]
        shutil.chown(folder, user)
    with_it = [*(owner or ["setpriv"]), "--pdeathsig", "QUIT"] if shutil.which("setpriv") else owner
    process = None
    try:
        subprocess.run(
            [*owner, binaries / "initdb", "-D", data, "-U", "postgres", *_MADE],
            check=True, cwd="/", capture_output=True,
        )  # fmt: skip
        options = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*with_it, binaries / "postgres", "-D", data, "-k", folder, *options],
                cwd="/",
                stdout=log,
                stderr=log,
            )
        made = Server(folder)
        _wait(made, process)
        made.run("CREATE DATABASE template_postgis")
        with psycopg.connect(made.url("template_postgis"), autocommit=True) as held:
            held.execute("CREATE EXTENSION postgis")
        yield made
    finally:
        if process is not None:
            process.send_signal(signal.SIGQUIT)  # at once: nobody needs what it holds
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _known(name):
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _wait(made, process):
    for _ in range(600):
        try:
            made.run("SELECT 1")
        except psycopg.OperationalError:
            if process.poll() is not None:
                raise RuntimeError((made.folder / "log").read_text()) from None
            time.sleep(0.05)
        else:
            return
    raise TimeoutError((made.folder / "log").read_text())
