"""`fanmemory receipt`: proofs of erasures and forgettings, and whether one is genuine."""

import asyncio
import sys
import uuid
from pathlib import Path
from typing import Any

import click
import msgspec

from infra.clock import now_ms
from infra.settings import Settings
from ops.cli import options, print_json
from ops.secrets import with_receipt_key, with_secrets
from privacy.receipts import Signer, read_receipt, verify
from schemas.errors import ErasureNotFound, InvalidInput
from schemas.receipts import ReceiptKey, ReceiptKeys, SignedReceipt
from stores import receipts
from stores.opened import open_stores

RECEIPTS_BYTES_MAX = 1 << 26
FAILED_SHOWN_MAX = 20


@click.group()
def receipt() -> None:
    """Prove what was erased or forgotten."""


@receipt.command("verify")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--keys",
    "keys_file",
    type=click.File("rb"),
    help="What /.well-known/fanmemory-receipt-keys answered [default: the key of this system].",
)
@options.data
@options.as_json
def verify_(file: Any, keys_file: Any, data: Path, as_json: bool) -> None:
    """Check the receipts in FILE: one JSON document, or one a line.

    Needs no network and nothing running. Exit code 1 unless every one is genuine and unaltered.
    """
    keys = _keys(keys_file, data)
    text = file.read(RECEIPTS_BYTES_MAX + 1)
    if len(text) > RECEIPTS_BYTES_MAX:
        raise click.UsageError("The file is larger than 64 MB.")
    outcomes = [_genuine(one, keys) for one in _parts(text)]
    bad = [number for number, good in enumerate(outcomes, 1) if not good]
    if as_json:
        print_json({"genuine": len(outcomes) - len(bad), "failed": bad})
    else:
        click.echo(f"{len(outcomes) - len(bad):,} of {len(outcomes):,} receipts are genuine")
        for number in bad[:FAILED_SHOWN_MAX]:
            click.echo(f"receipt {number}: altered, or not signed by a key of this system")
    sys.exit(bool(bad) or not outcomes)


@receipt.command()
@options.data
def keys(data: Path) -> None:
    """Print the public keys, as the API publishes them."""
    settings = with_receipt_key(Settings(), data)
    click.echo(msgspec.json.encode(Signer.of(settings).public))


@receipt.command()
@click.argument("id", type=click.UUID)
@options.data
def show(id: uuid.UUID, data: Path) -> None:
    """Print the signed receipt of a completed erasure or forgetting, which ID names."""
    settings = with_receipt_key(with_secrets(Settings(), data), data)
    click.echo(msgspec.json.encode(asyncio.run(_signed(settings, id))))


async def _signed(settings: Settings, id: uuid.UUID) -> SignedReceipt:
    signer = Signer.of(settings)
    async with open_stores(settings) as stores:
        found = await receipts.made_of(stores.pool, stores.cache, id.bytes, now_ms(), signer.key_id)
    if found is None:
        raise ErasureNotFound
    return signer.sign(found.receipt)


def _keys(file: Any, data: Path) -> list[ReceiptKey]:
    if file is None:
        return Signer.of(with_receipt_key(Settings(), data)).public.keys
    try:
        return msgspec.json.decode(file.read(RECEIPTS_BYTES_MAX), type=ReceiptKeys).keys
    except msgspec.MsgspecError:
        raise click.UsageError("These are no keys: they come from the API, as it is.") from None


def _parts(text: bytes) -> list[bytes]:
    """A document by itself may have lines."""
    if _is_one(text):
        return [text]
    return [line for line in text.splitlines() if line.strip()]


def _is_one(text: bytes) -> bool:
    try:
        read_receipt(text)
    except InvalidInput:
        return False
    return True


def _genuine(text: bytes, keys: list[ReceiptKey]) -> bool:
    try:
        return verify(read_receipt(text), keys)
    except InvalidInput:
        return False
