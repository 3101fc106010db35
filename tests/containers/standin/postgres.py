"""What the image postgres does, as far as compose.yml needs it: initialise once, run as nobody."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

DATA = Path("/var/lib/postgresql/18/docker")


def main() -> None:
    if not (DATA / "PG_VERSION").exists():
        DATA.mkdir(parents=True)
        password = DATA.parent / "password"
        password.write_text(os.environ["POSTGRES_PASSWORD"])
        user, database = os.environ["POSTGRES_USER"], os.environ["POSTGRES_DB"]
        words = ["initdb", "-D", str(DATA), "-U", user, f"--pwfile={password}"]
        words += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        words += shlex.split(os.environ.get("POSTGRES_INITDB_ARGS", ""))
        subprocess.run(words, check=True)
        password.unlink()
        single = ["postgres", "--single", "-D", str(DATA), "postgres"]
        subprocess.run(single, input=f'CREATE DATABASE "{database}"\n', text=True, check=True)
        with (DATA / "pg_hba.conf").open("a") as file:
            file.write("host all all all scram-sha-256\n")
    os.execvp("postgres", [*sys.argv[1:], "-D", str(DATA), "-clisten_addresses=*"])


main()
