"""A record of what a run of `detect` or `track` has finished, kept beside its results until it is done: `--resume` goes
on from it.

Images one by one, and whole videos and sequences: their frames depend on one another, so one that was not finished is
begun anew. What was found is kept, as tables of all images are written from it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from centernet.annotations.problems import DataError
from centernet.column import Column
from centernet.detections import Detections
from centernet.images import LazyImage, open_image
from centernet.inference import Frame
from centernet.inference.sources import Source
from centernet.remote import is_address
from centernet.whole import Growing

NAME = ".centernet-progress"
"""Name of the file in the folder of the results."""

Results: TypeAlias = "Iterable[tuple[Frame, Detections]]"


@dataclass
class Finished:
    """A source that was finished: how much there was, for the words at the end."""

    frames: int = 0
    track_ids: list[int] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
    wrote: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Journal:
    """The record of a run.

    Args:
        folder: of its results.
        arguments: of its command, without --resume.
        model: the file whose change makes another run of it; None for none.
        columns: that detections have.
        resume: go on from the record that is there, if one is.

    Raises:
        DataError: the record is of another command.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        model: Path | str | None,
        *,
        columns: Sequence[Column] = (),
        resume: bool = False,
    ) -> None:
        self.path, self.columns = folder / NAME, tuple(column for column in columns if column.kind != "vector")
        state = os.stat(model) if model is not None and os.path.isfile(model) else None
        seen = [] if state is None else [state.st_size, state.st_mtime_ns]
        self._header = {"arguments": list(arguments), "model": seen}
        self._images: dict[str, dict[str, int]] = {}  # source → location → place in the file
        self.finished: dict[str, Finished] = {}
        self._file: Growing | None = None
        keep = self._read() if resume and self.path.is_file() else 0
        if keep:
            self._file = Growing(self.path, keep=keep)
        elif self.path.exists():
            self.path.unlink()

    @property
    def is_begun(self) -> bool:
        """True where something is recorded, from which --resume can go on."""
        return self._file is not None

    def results(self, name: str, source: Source, stream: Callable[[Source], Results], *, one_by_one: bool) -> Results:
        """Give what was found in a source before, and then what `stream` finds in the rest of it, in the order of it.

        Args:
            name: of the source.
            source: where frames come from.
            stream: finds objects in a source.
            one_by_one: its images do not depend on one another; else all of it begins anew unless it was finished.
        """
        known = self._images.get(name, {})
        if name in self.finished:
            for place in known.values():
                yield self._record(place)
        elif not known or not one_by_one:
            self._images.pop(name, None)
            if known:
                self._add({"of": name, "anew": True})
            yield from stream(source)
        else:
            yield from self._rest(known, source, stream)

    def _rest(self, known: dict[str, int], source: Source, stream: Callable[[Source], Results]) -> Results:
        locations = [str(Path(item)) for item in source.files]
        places = [place for place in range(0, len(locations), source.every) if locations[place] not in known]
        done = [place for place in range(0, len(locations), source.every) if locations[place] in known]
        earlier = iter(done)
        next_done = next(earlier, None)
        rest = replace(source, items=[source.items[place] for place in places], every=1)
        for frame, detections in stream(rest) if places else ():
            frame.index = places[frame.index]
            while next_done is not None and next_done < frame.index:
                yield self._record(known[locations[next_done]], next_done)
                next_done = next(earlier, None)
            yield frame, detections
        while next_done is not None:
            yield self._record(known[locations[next_done]], next_done)
            next_done = next(earlier, None)

    def add(self, name: str, frame: Frame, detections: Detections) -> None:
        """Record a frame that was written."""
        vectors = {column.name for column in detections.columns if column.kind == "vector"}
        found = {key: value for key, value in detections.to_dict().items() if key not in vectors}
        path = None if frame.path is None else str(frame.path)
        said = [frame.name, path, frame.index, frame.time, frame.duration, not frame.is_file, list(frame.size_hw)]
        self._add({"of": name, "frame": said, "found": found})

    def finish(self, name: str, finished: Finished) -> None:
        """Record that a source is finished."""
        if name not in self.finished:
            self.finished[name] = finished
            self._add({"of": name, "finished": vars(finished)})

    def remove(self) -> None:
        """The run is done."""
        if self._file is not None:
            self._file.discard()
            self._file = None

    def close(self) -> None:
        """The run has ended before its end: the record stays."""
        if self._file is not None:
            self._file.close()

    def _add(self, row: dict[str, Any]) -> None:
        if self._file is None:
            self._file = Growing(self.path)
            self._file.add(json.dumps(self._header) + "\n")
        self._file.add(json.dumps(row) + "\n")

    def _read(self) -> int:
        """Read which images and sources are finished. Returns the bytes that are whole rows; 0 without such."""
        size = 0
        with self.path.open("rb") as file:
            for place, line in _lines(file):
                try:
                    row = json.loads(line)
                except ValueError:
                    break
                if not place and row != self._header:
                    raise DataError(
                        f"--resume: {self.path.parent} has the results of another command, centernet "
                        f"{' '.join(row.get('arguments', []))}, or of another state of its model; give that command, "
                        "another --output, or leave out --resume"
                    )
                size = place + len(line)
                if "finished" in row:
                    self.finished[row["of"]] = Finished(**row["finished"])
                elif "anew" in row:
                    self._images.pop(row["of"], None)
                elif "frame" in row:
                    name, path = row["frame"][:2]
                    self._images.setdefault(row["of"], {})[name if row["frame"][5] else path] = place
        return size if self.finished or self._images else 0

    def _record(self, place: int, index: int | None = None) -> tuple[Frame, Detections]:
        with self.path.open("rb") as file:
            file.seek(place)
            row = json.loads(file.readline())
        name, path, own_index, time, duration, is_part, size = row["frame"]
        height, width = size
        image = LazyImage((height, width), lambda scale: open_image(Path(path)).read(scale))
        place_of = own_index if index is None else index
        frame = Frame(image, name, path and Path(path), place_of, time, duration=duration, is_part=is_part)
        frame.is_done = True
        found = row["found"]
        own = {column.name: found[column.name] for column in self.columns if column.name in found}
        columns = tuple(column for column in self.columns if column.name in own)
        names = tuple(found["class_names"])
        rows = (found["bboxes"], found["labels"], found["scores"], None, found.get("track_ids"))
        return frame, Detections(*rows, class_names=names, columns=columns, data=own)


def can_go_on(source: Source) -> bool:
    """Return True for a source of images in files, which can be gone on with one by one."""
    return not source.is_moving and len(source.files) == len(source.items) and not any(map(is_address, source.items))


def _lines(file: Any) -> Iterator[tuple[int, bytes]]:
    """Give place and text of each whole line."""
    place = 0
    for line in file:
        if line.endswith(b"\n"):
            yield place, line
        place += len(line)
