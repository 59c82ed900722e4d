"""The evaluator of tracks: the metrics of each sequence and of all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..collecting import Ints, text_table
from .clear import clear_figures, clear_sums
from .hota import hota_figures, hota_sums
from .identity import identity_figures, identity_sums
from .matching import Comparison
from .tracks import Tracks

COMBINED = "COMBINED"
"""The name under which the figures of all sequences together stand."""

SIZES = ("Dets", "GT_Dets", "IDs", "GT_IDs")

Figures = Mapping[str, float | tuple[float, ...]]
Sums = Mapping[str, Any]  # numbers, and arrays of one for each limit of the IoU

# Columns of the table.
_FRACTIONS = ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1", "IDP", "IDR")
_COUNTS = ("CLR_FP", "CLR_FN", "IDSW", "Frag", "MT", "PT", "ML")


@dataclass(frozen=True)
class TrackingResult:
    """Figures of tracks under TrackEval's names, fractions 0 … 1 (MOTA may be below 0).

    Those that depend on a limit of the IoU (HOTA and what belongs to it) are means over .05, .10 … .95; ``HOTA_alpha``
    and its like hold them for each.

    Attributes:
        classes: class → sequence, or COMBINED → name of a figure → value. HOTA, DetA, AssA, LocA, DetRe, DetPr, AssRe,
            AssPr, OWTA, and these with ``_alpha``; HOTA(0), LocA(0); MOTA, MOTP, MODA, sMOTA, MOTAL, CLR_Re, CLR_Pr,
            CLR_F1, MTR, PTR, MLR, FP_per_frame, CLR_TP, CLR_FN, CLR_FP, IDSW, MT, PT, ML, Frag, CLR_Frames; IDF1, IDR,
            IDP, IDTP, IDFN, IDFP; Dets, GT_Dets, IDs, GT_IDs: boxes and identities that were compared.
    """

    classes: Mapping[str, Mapping[str, Figures]]

    @property
    def stats(self) -> dict[str, float]:
        """Return the single figures of all sequences together, as ``HOTA``; of several classes as ``car/HOTA``."""
        several = len(self.classes) > 1
        return {
            f"{name}/{figure}" if several else figure: value
            for name, sequences in self.classes.items()
            for figure, value in sequences[COMBINED].items()
            if not isinstance(value, tuple)
        }

    def __str__(self) -> str:
        return self.table()

    def table(self) -> str:
        """Return the figures of each sequence and of all together, class by class, as lines of text."""
        lines: list[str] = []
        heads = [*_FRACTIONS, *(name.removeprefix("CLR_") for name in _COUNTS)]
        for class_name, sequences in self.classes.items():
            rows = [[class_name, *heads]]
            for name, figures in sequences.items():
                fractions = (f"{figures[key]:.3f}" for key in _FRACTIONS)
                rows.append([name, *fractions, *(str(figures[key]) for key in _COUNTS)])
            lines += [""] * bool(lines) + text_table(rows, least=7)
        return "\n".join(lines)


class TrackingEvaluator:
    """Computes HOTA, the CLEAR metrics and IDF1 of sequences, as TrackEval does.

    Of each sequence a few sums are kept and no boxes. An evaluator can be pickled and merged: several processes
    evaluate each a part of the sequences, and one of them merges the others' and computes.

    Args:
        class_names: the classes; each is evaluated by itself.

    Example:
        >>> evaluator = TrackingEvaluator()
        >>> truth = Tracks(frames=[0, 1], ids=[1, 1], boxes=[[0, 0, 10, 10], [5, 0, 15, 10]])
        >>> found = Tracks(frames=[0, 1], ids=[7, 8], boxes=[[0, 0, 10, 10], [5, 0, 15, 10]])
        >>> evaluator.update("street", truth, found, num_frames=2)
        >>> figures = evaluator.compute().stats
        >>> figures["IDSW"], figures["MOTA"], figures["HOTA"].__round__(3)
        (1, 0.5, 0.707)
    """

    def __init__(self, class_names: Sequence[str] = ("pedestrian",)) -> None:
        self.class_names = tuple(class_names)
        self._sums: dict[str, dict[str, Sums]] = {name: {} for name in self.class_names}

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len({sequence for sums in self._sums.values() for sequence in sums})

    def update(
        self,
        sequence: str,
        truth: Tracks,
        found: Tracks,
        *,
        num_frames: int,
        class_name: str | None = None,
        min_height: float | None = None,
    ) -> None:
        """Add a sequence by its name; one that is known already is passed over.

        The truth, with the roles of its boxes, and the tracker's boxes are of one class, the first where None is given,
        and in the same pixels. Results on no box of the truth that are at most `min_height` high don't count (KITTI).

        Raises:
            ValueError: boxes beyond the last frame, an unknown class, or a sequence of the name COMBINED.
        """
        name = self.class_names[0] if class_name is None else class_name
        if name not in self._sums:
            raise ValueError(f"the class {name!r} is none of this evaluator's: {', '.join(self.class_names)}")
        if sequence in self._sums[name]:
            return
        if sequence == COMBINED:
            raise ValueError(f"a sequence cannot be called {COMBINED}: that is the name of all of them together")
        for what, tracks in (("truth", truth), ("results", found)):
            if len(tracks) and tracks.frames[-1] >= num_frames:
                text = f"boxes in frame {tracks.frames[-1]}, but the sequence has {num_frames} frames"
                raise ValueError(f"{what} of {sequence}: {text}, 0 … {num_frames - 1}")
        self._sums[name][sequence] = _count(Comparison.of(truth, found, num_frames, min_height=min_height))

    def merge(self, other: TrackingEvaluator) -> None:
        """Add the sequences of another evaluator, of the same classes, where they are not here yet."""
        if other.class_names != self.class_names:
            raise ValueError(f"cannot merge results for the classes {other.class_names} into {self.class_names}")
        self._sums = {name: other._sums[name] | sums for name, sums in self._sums.items()}

    def compute(self) -> TrackingResult:
        """Compute the figures of all sequences so far, by name, and of all of them together."""
        classes: dict[str, dict[str, Figures]] = {}
        for name, sums in self._sums.items():
            if not sums:
                raise ValueError(f"nothing to evaluate: no sequence was given for the class {name}")
            classes[name] = {sequence: _figures(sums[sequence]) for sequence in sorted(sums)}
            first, *others = (sums[sequence] for sequence in sorted(sums))
            total = {key: sum((other[key] for other in others), value) for key, value in first.items()}
            classes[name][COMBINED] = _figures(total)
        return TrackingResult(classes)

    def draws(self, weights: Ints) -> list[TrackingResult]:
        """Compute the figures of draws of sequences; `weights` is B×sequences, how often each is in a draw, by name.

        Every result has the figures of all drawn sequences together alone, under COMBINED.
        """
        totals = {name: [sums[sequence] for sequence in sorted(sums)] for name, sums in self._sums.items()}
        results = []
        for often in weights.tolist():
            classes = {}
            for name, parts in totals.items():
                drawn = [(number, part) for number, part in zip(often, parts, strict=True) if number]
                total = {key: sum(number * part[key] for number, part in drawn) for key in parts[0]}
                classes[name] = {COMBINED: _figures(total)}
            results.append(TrackingResult(classes))
        return results


def _count(compared: Comparison) -> Sums:
    """Return the values that add up over sequences."""
    sizes = (len(compared.found_ids), len(compared.truth_ids), compared.num_found_ids, compared.num_truth_ids)
    counts = dict(zip(SIZES, sizes, strict=True))
    return {**hota_sums(compared), **clear_sums(compared), **identity_sums(compared), **counts}


def _figures(sums: Sums) -> Figures:
    sizes = {name: int(sums[name]) for name in SIZES}
    return {**hota_figures(sums), **clear_figures(sums), **identity_figures(sums), **sizes}
