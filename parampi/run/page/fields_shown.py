"""Maps and spectra on the page: of some channels, cases and lead times, and which of how many these are."""

import base64
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parampi.fields.ensembles.opened import open_file
from parampi.fields.ensembles.places import Place, fields_at, places
from parampi.fields.evenly import evenly
from parampi.report import count
from parampi.run.inputs import Inputs
from parampi.run.metadata import content
from parampi.run.output import store_class
from parampi.verify.drawing import plain_units

if TYPE_CHECKING:
    import xarray

CHANNELS, CASES, LEADS = 4, 2, 3
"""Most channels, cases, and lead times of each, that are shown."""
MEMBERS = 32
"""Most members whose spectrum is taken."""
VALUES = 1 << 24
"""Most numbers that are read for one picture."""
ROOM, PATIENCE = 1_200_000, 20.0
"""Bytes of all pictures together, as text, and seconds after which no further one begins, as all ranks wait for them."""


@dataclass(frozen=True)
class Picture:
    """A picture: its source as a data URL, and what it shows in words, for those who do not see it."""

    source: str
    words: str

    @classmethod
    def of(cls, png: bytes, words: str) -> "Picture":
        return cls(f"data:image/png;base64,{base64.b64encode(png).decode()}", words)


@dataclass(frozen=True)
class PicturesAt:
    """Members of a channel at one case and lead time: where in words, and pictures."""

    place: str
    pictures: list[Picture]


@dataclass
class Channel:
    """A channel: its name and units in words, a picture of data, and members at places."""

    name: str
    data: Picture | None
    places: list[PicturesAt] = field(default_factory=list)


@dataclass
class Fields:
    """Fields on the page, and lines about those that it leaves out."""

    channels: list[Channel] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def fields_shown(inputs: Inputs, mode: str) -> Fields:
    """Return maps and spectra of a finished run's ensemble. Raises what reading and drawing raise."""
    from parampi.verify.coasts import HINT, outlines
    from parampi.verify.maps import on_globe

    statistics, output = inputs.statistics, inputs.config.output
    if obstacle := obstacle_of(inputs, mode):
        return Fields(notes=[f"No maps: {obstacle}."])
    written = content(output, mode).chosen(statistics.names)
    fields = Fields()
    with open_file(Path(output.directory) / output.ensemble).to_xarray() as dataset:
        there = places(dataset)
        kept = chosen(there)
        draw_all(fields, dataset, inputs, written[:CHANNELS], kept)
    if len(written) > CHANNELS:
        fields.notes.append(f"Channels: the first {CHANNELS} of {len(written)}, {', '.join(written[:CHANNELS])}.")
    fields.notes += left_out(there, kept)
    if on_globe(statistics) and outlines() is None:
        fields.notes.append(f"Maps have no coastlines here; {HINT} brings them, without a download when they are drawn.")
    return fields


def obstacle_of(inputs: Inputs, mode: str) -> str:
    """Return why fields cannot be shown; "" where they can."""
    output = inputs.config.output
    if not store_class(mode).schema_file:
        return f"output.mode = {mode} writes no NetCDF file of parampi's schema"
    return "" if output.members else "output.members = false leaves members out of the file"


def chosen(there: Sequence[Place]) -> list[Place]:
    """Return the first and last case, and of each the first, middle and last lead time."""
    cases = list(dict.fromkeys(place.case for place in there))
    kept: list[Place] = []
    for case in (cases[k] for k in evenly(len(cases), CASES)):
        of_case = [place for place in there if place.case == case]
        kept += [of_case[k] for k in evenly(len(of_case), LEADS)]
    return kept


def left_out(there: Sequence[Place], kept: Sequence[Place]) -> list[str]:
    """Return what to say of cases and lead times that are not shown."""
    counts = [[len({place.case for place in some}), len({place.lead for place in some})] for some in (kept, there)]
    names = ("cases, the first and the last", "lead times of each, the first, one in the middle and the last")
    words = [f"{few} of {all_} {name}" for few, all_, name in zip(*counts, names, strict=True) if few < all_]
    return [f"Shown are {'; '.join(words)}."] if words else []


def draw_all(fields: Fields, dataset: "xarray.Dataset", inputs: Inputs, names: Sequence[str], kept: Sequence[Place]) -> None:
    """Draw channels at places until the page is full."""
    begin, used, drawn, wanted = time.monotonic(), 0, 0, len(names) * len(kept)
    for name in names:
        channel = Channel(name_of(inputs, name), data_picture(inputs, name, len(kept[0].numbers)))
        used += size_of([channel.data])
        for place in kept:
            late = drawn and time.monotonic() - begin > PATIENCE
            pictures = [] if late else list(member_pictures(dataset, inputs, name, place))
            used += size_of(pictures)
            if late or (used > ROOM and drawn):
                why = f"drawing took more than {PATIENCE:g} s" if late else "more would not fit"
                fields.notes.append(f"{drawn} of {wanted} choices of channel, case and lead time are shown: {why}.")
                return
            if not channel.places:
                fields.channels.append(channel)
            channel.places.append(PicturesAt(place.words, pictures))
            drawn += 1


def size_of(pictures: Sequence[Picture | None]) -> int:
    """Return the bytes of pictures."""
    return sum(len(picture.source) for picture in pictures if picture)


def name_of(inputs: Inputs, channel: str) -> str:
    """Return a channel with its units in words."""
    row = inputs.statistics.names.index(channel)
    long, units = inputs.statistics.long_names[row], inputs.statistics.units[row]
    named = long if long == channel else f"{long} ({channel})"
    return f"{named}, {plain_units(units)}" if units != "1" else named


def data_picture(inputs: Inputs, channel: str, members: int) -> Picture | None:
    """Return samples of the data of a channel, as many as members are shown; None where the statistics hold none."""
    from parampi.verify.pictures import data_maps

    statistics = inputs.statistics
    if not len(statistics.reference):
        return None
    png = data_maps(statistics, statistics.names.index(channel), members)
    return Picture.of(png, f"Maps of samples of the data, {name_of(inputs, channel)}, on the colour scale of the members.")


def member_pictures(dataset: "xarray.Dataset", inputs: Inputs, channel: str, place: Place) -> Iterator[Picture]:
    """Yield the pictures of a channel at a place: maps and a spectrum."""
    from parampi.verify.maps import listed_members
    from parampi.verify.pictures import Subject, member_maps, spectra

    statistics = inputs.statistics
    row, total = statistics.names.index(channel), len(place.numbers)
    most = max(4, min(MEMBERS, VALUES // max(int(np.prod(statistics.grid)), 1)))
    values = fields_at(dataset, channel, place, most)
    where, name = f" at {place.words}" if place.words else "", name_of(inputs, channel)
    listed = listed_members(place.numbers[:4])
    subject = Subject(place.numbers, total, place.words)
    yield Picture.of(member_maps(values, statistics, row, subject), f"Maps of {name}: {listed} of {total}{where}.")
    if statistics.has_spectrum and statistics.geometry.has_modes:
        taken = f"{len(values)} of {total} members" if len(values) < total else count(total, "member")
        yield Picture.of(
            spectra(values, statistics, row, subject), f"Spectrum of {name} of {taken}{where}, beside that of the data."
        )
