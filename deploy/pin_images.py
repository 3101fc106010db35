"""Write into compose.yml and deploy/Dockerfile which images their tags name now: `make pin-images`.

Each image stands there by tag and digest, so that what runs is what was tried, whoever moves a tag.
A registry that can't be asked changes nothing.
"""

import re
import subprocess
import sys
from pathlib import Path

FILES = ("compose.yml", "deploy/Dockerfile")
SECONDS_MAX = 60
PINNED = re.compile(r"\b(?P<tag>[a-z][a-z0-9./-]*:[A-Za-z0-9._-]+)@sha256:[0-9a-f]{64}")


def digest(tag: str) -> str:
    """Of the image for all platforms that a registry has under the tag."""
    asked = ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", tag]
    try:
        ran = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=SECONDS_MAX)
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"What {tag} is can't be asked ({type(error).__name__}): nothing was changed.")
    found = ran.stdout.strip()
    if not re.fullmatch("sha256:[0-9a-f]{64}", found):
        sys.exit(f"What {tag} is was not answered with a digest: nothing was changed.")
    return found


def main() -> None:
    files = {Path(name): Path(name).read_text("utf-8") for name in FILES}
    tags = sorted({found["tag"] for text in files.values() for found in PINNED.finditer(text)})
    digests = {tag: digest(tag) for tag in tags}
    for path, text in files.items():
        path.write_text(
            PINNED.sub(lambda one: f"{one['tag']}@{digests[one['tag']]}", text), "utf-8"
        )
    for tag, found in digests.items():
        print(tag, found)


if __name__ == "__main__":
    main()
