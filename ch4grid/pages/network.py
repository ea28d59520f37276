"""Pictures of causal graphs: drivers on a fixed ring around the flux, a link as wide as it was often found.

Colour, line style and a written sign all say which way a driver acts, so the picture reads without colour vision; a
link without a sign, as in a prior, is drawn in a colour of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.pages.figures import MINUS
from ch4grid.pages.templates import render

# Drivers clockwise from the top, by what they belong to; the short name is what fits into a box.
KINDS: dict[str, dict[str, str]] = {
    "weather": {
        "tas": "air temp.",
        "vpd": "VPD",
        "hurs": "humidity",
        "pr": "rain",
        "ps": "pressure",
        "psa": "pressure",
        "sfcWind": "wind",
        "rsds": "sunlight",
    },
    "soil": {
        "tsl": "soil temp.",
        "mrsos": "soil water",
        "snw": "snow",
        "lst_day": "LST day",
        "lst_night": "LST night",
        "dtr": "day range",
    },
    "vegetation": {"evi": "EVI", "ndvi": "NDVI", "lai": "leaf area", "gpp": "GPP", "npp": "NPP"},
}
OTHER = "soil"

# Links found more often are drawn strong, those between the two faint, rarer ones not at all.
STRONG, FAINT = 0.6, 0.3

# The drawing [SVG user units].
WIDTH, HEIGHT = 440.0, 420.0
BOX_HEIGHT, LETTER, PADDING = 24.0, 6.9, 14.0
FLUX_RADIUS = 40.0
WIDEST, NARROWEST = 8.0, 1.5
ARROW = 9.0
# Distance of two links of one driver with different signs.
APART = 12.0
# How links are drawn by their sign.
STYLES = {"+": "plus", MINUS: "minus", "": "unsigned"}

Point = NDArray[np.float64]


class Link(NamedTuple):
    """A link: from, to, lag in steps, frequency or chance 0 to 1, and strength, whose sign is its direction.

    A strength of NaN is that of a link whose direction nobody knows.
    """

    source: str
    target: str
    lag: int
    frequency: float
    strength: float


class Node(NamedTuple):
    """A box: its name, centre, width and kind."""

    label: str
    name: str
    x: float
    y: float
    width: float
    kind: str


class Edge(NamedTuple):
    """An arrow: line and head as paths, style classes, width, label, its place and the room it takes."""

    line: str
    head: str
    style: str
    width: float
    label: str
    x: float
    y: float
    room: float


@dataclass(frozen=True)
class Network:
    """A graph ready to draw.

    Args:
        title: What it shows.
        description: The same in words, for those who cannot see it.
        nodes: The drivers.
        edges: The links.
        flux: Label of the node in the middle; empty where there is none.
        step: What a lag counts, "months" or "weeks".
    """

    title: str
    description: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    flux: str
    step: str
    width: float = WIDTH
    height: float = HEIGHT
    radius: float = FLUX_RADIUS
    box: float = BOX_HEIGHT

    def svg(self) -> str:
        """The picture as a file of its own."""
        return render("graph.svg.j2", network=self)


def short(name: str) -> str:
    """The short name of a driver."""
    return next((names[name] for names in KINDS.values() if name in names), name)


def network(
    links: Sequence[Link],
    drivers: Sequence[str],
    *,
    target: str,
    flux: str,
    title: str,
    step: str,
) -> Network:
    """The links into the flux, with the drivers on a ring around it.

    Args:
        links: All links that were looked for; those into other nodes than `target` are left out.
        drivers: Drivers to show; the same drivers lie at the same places whatever was found.
        target: Name of the flux variable.
        flux: How to call it.
        title: What it shows.
        step: What a lag counts, "months" or "weeks".
    """
    nodes = _ring(drivers)
    centre = np.array([WIDTH / 2, HEIGHT / 2])
    shown = [link for link in links if link.target == target and link.frequency >= FAINT]
    edges = [
        _spoke(nodes[name], centre, group, offset)
        for name in nodes
        for group, offset in _by_sign([link for link in shown if link.source == name])
    ]
    return Network(
        title, _in_words(title, shown, flux, step), tuple(nodes.values()), tuple(edges), flux, step
    )


def among(links: Sequence[Link], drivers: Sequence[str], *, title: str, step: str) -> Network:
    """The links among the drivers; of several lags between the same two the most frequent is drawn."""
    nodes = _ring(drivers)
    best: dict[tuple[str, str], Link] = {}
    for link in sorted(links, key=lambda k: k.frequency):
        if {link.source, link.target} <= set(nodes) and link.source != link.target:
            best[link.source, link.target] = link
    shown = [link for link in best.values() if link.frequency >= STRONG]
    edges = [_chord(nodes[k.source], nodes[k.target], k) for k in shown]
    return Network(
        title, _in_words(title, shown, "", step), tuple(nodes.values()), tuple(edges), "", step
    )


def _ring(drivers: Sequence[str]) -> dict[str, Node]:
    """Boxes clockwise from the top, evenly spaced by angle."""
    order = [name for names in KINDS.values() for name in names if name in drivers]
    order += [name for name in drivers if name not in order]
    angles = 2 * np.pi * np.arange(len(order)) / max(len(order), 1)
    nodes = {}
    for name, angle in zip(order, angles, strict=True):
        width = LETTER * len(short(name)) + PADDING
        across, down = WIDTH / 2 - 48.0, HEIGHT / 2 - BOX_HEIGHT / 2 - 4.0
        nodes[name] = Node(
            short(name),
            name,
            round(float(WIDTH / 2 + across * np.sin(angle)), 1),
            round(float(HEIGHT / 2 - down * np.cos(angle)), 1),
            round(width, 1),
            next((kind for kind, names in KINDS.items() if name in names), OTHER),
        )
    return nodes


def _by_sign(links: Sequence[Link]) -> list[tuple[list[Link], float]]:
    """Links of one driver that raise and those that lower, each with its offset from the straight line."""
    groups = [group for sign in STYLES if (group := [k for k in links if _sign(k) == sign])]
    return list(zip(groups, (0.0,) if len(groups) == 1 else (-APART / 2, APART / 2), strict=False))


def _spoke(node: Node, centre: Point, links: Sequence[Link], offset: float) -> Edge:
    """The arrow from a driver to the flux; its label names the lags."""
    start, end = np.array([node.x, node.y]), centre
    along = (end - start) / np.linalg.norm(end - start)
    aside = offset * np.array([-along[1], along[0]])
    start = start + along * (_edge_of_box(node, along) + 2.0) + aside
    end = end - along * (FLUX_RADIUS + 2.0) + aside
    best = max(links, key=lambda k: k.frequency)
    named = [k for k in links if k.frequency >= STRONG] or [best]
    lags = sorted(k.lag for k in named)
    label = f"{_sign(best)} {', '.join(map(str, lags))}".strip()
    place = start + (0.3 if offset >= 0 else 0.62) * (end - start)
    return _arrow(start, end, (start + end) / 2, best, label, place)


def _chord(source: Node, target: Node, link: Link) -> Edge:
    """The arrow from one driver to another, bent towards the middle so that it misses the boxes between."""
    start, end = np.array([source.x, source.y]), np.array([target.x, target.y])
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    bend = (start + end) / 2 + 0.45 * (middle - (start + end) / 2)
    out, into = _unit(bend - start), _unit(end - bend)
    start = start + out * (_edge_of_box(source, out) + 2.0)
    end = end - into * (_edge_of_box(target, into) + 2.0)
    place = 0.25 * start + 0.5 * bend + 0.25 * end
    return _arrow(start, end, bend, link, f"{_sign(link)} {link.lag}".strip(), place)


def _arrow(start: Point, end: Point, bend: Point, link: Link, label: str, place: Point) -> Edge:
    into = _unit(end - bend)
    aside = np.array([-into[1], into[0]])
    share = (link.frequency - FAINT) / (1 - FAINT)
    width = NARROWEST + (WIDEST - NARROWEST) * max(0.0, share)
    base = end - into * (ARROW + width / 2)
    wings = [base + aside * (ARROW / 2 + width / 2), base - aside * (ARROW / 2 + width / 2)]
    style = STYLES[_sign(link)] + ("" if link.frequency >= STRONG else " faint")
    return Edge(
        line=f"M{_at(start)}Q{_at(bend)} {_at(base)}",
        head=f"M{_at(end)}L{_at(wings[0])}L{_at(wings[1])}Z",
        style=style,
        width=round(width, 2),
        label=label,
        x=round(float(place[0]), 1),
        y=round(float(place[1]) + 4.0, 1),
        room=round(LETTER * len(label) + 4.0, 1),
    )


def _sign(link: Link) -> str:
    """The written sign of a link, empty where it has none."""
    return "" if np.isnan(link.strength) else "+" if link.strength >= 0 else MINUS


def _unit(vector: Point) -> Point:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))


def _at(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def _edge_of_box(node: Node, along: Point) -> float:
    """Distance from the centre of a box to its edge in a direction."""
    across = node.width / 2 / max(abs(float(along[0])), 1e-9)
    return min(across, BOX_HEIGHT / 2 / max(abs(float(along[1])), 1e-9))


def _in_words(title: str, links: Sequence[Link], flux: str, step: str) -> str:
    """Every strong link in a sentence."""
    strong = sorted((k for k in links if k.frequency >= STRONG), key=lambda k: -k.frequency)
    if not strong:
        return f"{title}. No link reaches {STRONG:.0%}."
    return f"{title}. " + "; ".join(_told(k, flux or short(k.target), step) for k in strong) + "."


def _told(link: Link, flux: str, step: str) -> str:
    driver, when = short(link.source), f"{link.lag} {step} later"
    if not _sign(link):
        return f"{driver} acts on {flux} {when} (probability {link.frequency:.0%})"
    change = "more" if link.strength >= 0 else "less"
    return f"more {driver} goes with {change} {flux} {when} (found in {link.frequency:.0%})"
