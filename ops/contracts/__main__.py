"""Rewrite the published files that differ, and remove those that nothing makes any more."""

import click

from ops.contracts.published import PUBLISHED, files, stale

for path, content in files().items():
    there = PUBLISHED / path
    if not there.exists() or there.read_bytes() != content:
        there.parent.mkdir(exist_ok=True)
        there.write_bytes(content)
        click.echo(f"wrote {path}")
for path in stale():
    (PUBLISHED / path).unlink()
    click.echo(f"removed {path}")
