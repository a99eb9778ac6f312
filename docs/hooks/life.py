"""The picture and the table of a retry's life, from the transitions that the code has as data."""

from __future__ import annotations

import math
from typing import Final, TypeAlias

from docs.hooks.table import table
from retryd.domain.life import NOWHERE, STATES, TRANSITIONS

Point: TypeAlias = tuple[float, float]

WIDTH, HEIGHT = 980, 530
HALF: Final = (58, 21)
START, END = "start", "end"
PLACES: Final[dict[str, Point]] = {
    START: (40, 160),
    "pending": (220, 160),
    "parked": (220, 350),
    "processing": (500, 160),
    "completed": (770, 60),
    "cancelled": (770, 250),
    "dead": (500, 470),
    "resolved": (770, 470),
    END: (940, 330),
}
"""Where each state stands."""

BENDS: Final = {
    (START, "dead"): 190,
    ("pending", "cancelled"): 45,
    ("parked", "cancelled"): 70,
    ("completed", END): -40,
    ("dead", END): -60,
}
"""How far an arrow leaves the straight line, to its right; one with an opposite bends anyway."""

COLOURS: Final = {"live": "#1e88e5", "done": "#43a047", "dead": "#e53935"}


def arrows() -> dict[tuple[str, str], list[str]]:
    """Return the events between each two states."""
    found: dict[tuple[str, str], list[str]] = {}
    for step in TRANSITIONS:
        source = START if step.source_state == NOWHERE else step.source_state
        target = END if step.target_state == NOWHERE else step.target_state
        events = found.setdefault((source, target), [])
        if step.event not in events:
            events.append(step.event)
    return found


def picture() -> str:
    """Draw the life as SVG, in the colours of the page around it."""
    found = arrows()
    drawn = [
        drawn_arrow(pair, ", ".join(events), opposite=pair[::-1] in found)
        for pair, events in found.items()
    ]
    boxes = [drawn_state(state) for state in PLACES]
    return (
        f'<svg class="life" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="The states of a '
        'retry and the events between them; the table below has the same" '
        'font-family="sans-serif" font-size="14" fill="currentColor">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" '
        'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="currentColor"/></marker></defs>'
        f"{''.join(drawn)}{''.join(boxes)}</svg>\n\n"
        "Blue is *live*, green *done*, red *dead*: what the view `retryd.place` says.\n"
    )


def drawn_state(state: str) -> str:
    """Draw a box with the name of its state, or the dot where lives begin and end."""
    x, y = PLACES[state]
    if state in (START, END):
        ring = f'<circle cx="{x}" cy="{y}" r="13" fill="none" stroke="currentColor"/>'
        return f'<circle cx="{x}" cy="{y}" r="8"/>' + (ring if state == END else "")
    colour = COLOURS[STATES[state]]
    across, down = HALF
    return (
        f'<rect x="{x - across}" y="{y - down}" width="{2 * across}" height="{2 * down}" rx="8" '
        f'fill="{colour}"/><text x="{x}" y="{y + 5}" text-anchor="middle" '
        f'fill="white">{state}</text>'
    )


def drawn_arrow(pair: tuple[str, str], label: str, *, opposite: bool) -> str:
    """Draw an arrow with the events on it."""
    source, target = pair
    if source == target:
        x, y = PLACES[source]
        path = f"M{x - 24} {y - HALF[1]}C{x - 40} {y - 80} {x + 40} {y - 80} {x + 24} {y - HALF[1]}"
        return line(path) + text((x, y - 72), label)
    (x1, y1), (x2, y2) = PLACES[source], PLACES[target]
    bend = BENDS.get(pair, 26 if opposite else 0)
    length = math.hypot(x2 - x1, y2 - y1)
    right = (-(y2 - y1) / length * bend, (x2 - x1) / length * bend)
    bow = ((x1 + x2) / 2 + right[0], (y1 + y2) / 2 + right[1])
    control = (bow[0] + right[0], bow[1] + right[1])
    (sx, sy), (tx, ty) = at_edge(source, control), at_edge(target, control)
    path = f"M{sx:.0f} {sy:.0f}Q{control[0]:.0f} {control[1]:.0f} {tx:.0f} {ty:.0f}"
    return line(path) + text(
        ((sx + tx) / 4 + control[0] / 2, (sy + ty) / 4 + control[1] / 2), label
    )


def at_edge(state: str, towards: Point) -> Point:
    """Return where a line from a state's middle leaves its box."""
    x, y = PLACES[state]
    dx, dy = towards[0] - x, towards[1] - y
    across, down = (16, 16) if state in (START, END) else HALF
    share = min(across / abs(dx) if dx else math.inf, down / abs(dy) if dy else math.inf)
    return x + dx * share, y + dy * share


def line(path: str) -> str:
    """Draw the line of an arrow."""
    return f'<path d="{path}" fill="none" stroke="currentColor" marker-end="url(#tip)"/>'


def text(at: Point, label: str) -> str:
    """Write on a line, which is hidden behind the words."""
    return (
        f'<text x="{at[0]:.0f}" y="{at[1] + 5:.0f}" text-anchor="middle" paint-order="stroke" '
        f'stroke-width="6" style="stroke: var(--md-default-bg-color, white)">{label}</text>'
    )


def steps() -> str:
    """Write the transitions as a table."""
    return "\n## Every step\n\n" + table(
        ("from", "event", "to", "only if", "who", "function"),
        [
            (
                *(step.source_state, step.event, step.target_state),
                *(step.guard, step.who, f"`{step.function}`"),
            )
            for step in TRANSITIONS
        ],
    )
