"""The code of former releases, out of the history."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def unpacked(commit: str, folder: Path) -> Path:
    """A commit's files, in `folder`; skips the test where the history does not reach so far."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("there is no git")
    ran = subprocess.run([git, "-C", ROOT, "archive", commit], capture_output=True, check=False)
    if ran.returncode:
        pytest.skip(f"the history does not reach back to {commit}")
    with tarfile.open(fileobj=io.BytesIO(ran.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder
