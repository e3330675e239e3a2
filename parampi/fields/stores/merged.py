"""An ensemble in parts that is one plain file in the end: the store `merged`."""

import sys
from collections.abc import Sequence

from parampi.errors import UserError
from parampi.fields.stores.base import StoreTarget, register
from parampi.fields.stores.merge import merge
from parampi.fields.stores.parts import remove_claimed_parts
from parampi.fields.stores.summary import Summary
from parampi.fields.stores.virtual import VirtualStore

MERGED_UP_TO = 4 * 2**30
"""Bytes of fields up to which `output.mode = auto` makes one plain file of several parts: seconds of reading and writing."""


@register("merged")
class MergedStore(VirtualStore):
    """One rank's part of an ensemble; at the end rank 0 joins the parts, and copies them into a file that needs no others."""

    @classmethod
    def announce(cls, groups: int) -> str:
        """Return how many parts there are on the way."""
        return f", merged at the end from the parts of {groups} rank{'s' * (groups != 1)}"

    @classmethod
    def join(cls, target: StoreTarget, ranks: Sequence[int], summary: Summary) -> None:
        """Write the joint file, and put a plain one in its place. Where that fails the joint file and its parts stay."""
        parts = cls.join_parts(target, ranks, summary)
        try:
            merge([target.path], target.path, target.schema.content.compression, overwrite=True)
        except UserError as error:
            print(f"parampi: {target.path} is left in parts, which belong to it: {error}", file=sys.stderr, flush=True)
        else:
            for part in parts:
                part.unlink(missing_ok=True)
        remove_claimed_parts(target.path)
