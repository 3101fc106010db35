"""Rewrite the published files that differ, and remove those that nothing makes any more."""

import click

from ops.contracts.published import MODELS, PUBLISHED, client_models, files, stale

made = {PUBLISHED / path: content for path, content in files().items()}
for there, content in (made | {MODELS: client_models()}).items():
    if not there.exists() or there.read_bytes() != content:
        there.parent.mkdir(exist_ok=True)
        there.write_bytes(content)
        click.echo(f"wrote {there.name}")
for path in stale():
    (PUBLISHED / path).unlink()
    click.echo(f"removed {path}")
