"""Signal stores: teachers' answers kept once, replayed exactly."""

from __future__ import annotations

from bequest.distill.stores.build import build_store
from bequest.distill.stores.codecs import Codec, Dense, Sampled, TopK, parse_codec
from bequest.distill.stores.packed import Packed
from bequest.distill.stores.store import SignalStore, open_store
from bequest.distill.stores.verify import Verification, verify_store

__all__ = [
    "Codec",
    "Dense",
    "Packed",
    "Sampled",
    "SignalStore",
    "TopK",
    "Verification",
    "build_store",
    "open_store",
    "parse_codec",
    "verify_store",
]
