"""What `isoflop finetune --seeds` and `--folds` print besides: which one is running, and all of them in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.adaptation.repeats import Begun, Summary


def seeds_in(text: str) -> tuple[int, ...]:
    """What `--seeds` says: numbers with commas between."""
    try:
        return tuple(int(one) for one in text.split(",")) if text else ()
    except ValueError:
        raise UserError(f"--seeds is {text!r}: write numbers with commas between, as in 0,1,2.") from None


def say_begun(begun: Begun) -> None:
    """A headline."""
    print(f"{begun.name} ({begun.number} of {begun.count})", flush=True)


def say_summary(summary: Summary, out: Path) -> None:
    """The figure that counts of every repeat and part, its mean and standard deviation, and the floor's."""
    from isoflop.cli.tables import print_notes, print_table

    main, parts = summary.main, list(summary.spread)
    rows = [(name, *(f"{found[part][main]:.4f}" for part in parts)) for name, found in summary.repeats.items()]
    for name, spread in (("mean ± s.d.", summary.spread), ("floor ± s.d.", summary.floor)):
        if spread:
            told = (spread[part][main] for part in parts)
            rows.append((name, *(f"{one.mean:.4f} ± {one.deviation:.4f}" for one in told)))
    print_table("", ("", *(f"{part} {main}" for part in parts)), rows)
    print_notes((f"Sample standard deviation over {len(summary.repeats)}; all figures are in summary.json.",))
    print(f"  {out / 'summary.json'}")
