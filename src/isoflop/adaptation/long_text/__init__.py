"""Texts that are longer than the model: what is read of them, and how it becomes one vector."""

from isoflop.adaptation.long_text.reading import SEGMENTED, WAYS, Reading
from isoflop.adaptation.long_text.segments import JOINS, Segments
from isoflop.adaptation.long_text.windows import LONGER, PATTERNS, with_windows

__all__ = ["JOINS", "LONGER", "PATTERNS", "SEGMENTED", "WAYS", "Reading", "Segments", "with_windows"]
