"""What the image apache/kafka does, as far as compose.yml needs it: KAFKA_* to properties, run."""

import os
import subprocess
from pathlib import Path

HOME = Path("/opt/kafka")
JAVA = ("/opt/java/bin/java", "-cp", "/opt/kafka/libs/*", "-XX:+UseSerialGC")
NOT_PROPERTIES = ("KAFKA_HEAP_OPTS",)


def main() -> None:
    lines = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in os.environ.items()
        if name.startswith("KAFKA_") and name not in NOT_PROPERTIES
    }
    file = Path("/tmp/server.properties")
    file.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    java = (*JAVA, *os.environ.get("KAFKA_HEAP_OPTS", "").split())
    if not (Path(lines["log.dirs"]) / "meta.properties").exists():
        words = ("kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw")
        subprocess.run([*java, *words, "-c", str(file)], check=True)
    os.execv(java[0], [*java, "kafka.Kafka", str(file)])


main()
