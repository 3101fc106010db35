"""`python -m analysis.kernel.build`: compile kernel.c with Zig's C compiler (package `ziglang`).

The same Zig gives the same bytes on every machine: no paths, no times, no names in them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

FLAGS: Final = (
    "-target wasm32-freestanding -O3 -msimd128 -nostdlib -fno-math-errno -Wall -Wextra -Werror"
    " -Wl,--no-entry -Wl,--strip-all -Wl,--export-memory"
)
SOURCE: Final = Path(__file__).with_name("kernel.c")


def compiled() -> bytes:
    """The module's bytes; CalledProcessError if the compiler refuses the source."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernel.wasm"
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS.split(), "-o", str(out)]
        subprocess.run([*command, SOURCE.name], cwd=SOURCE.parent, check=True)
        return out.read_bytes()


if __name__ == "__main__":
    SOURCE.with_name("kernel.wasm").write_bytes(compiled())
