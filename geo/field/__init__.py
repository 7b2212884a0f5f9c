"""From candidate to let: what the field says of a piece, and what may become of it.

Functions on a `Change` of the store; nothing here hears of HTTP.
"""

from geo.field.evidence import Evidence, evidence, kept, served
from geo.field.facts import FIELDS, Decision, decide, plain_facts
from geo.field.states import MOVES, STATES, check_move, may_move, next_states, reached

__all__ = [
    "FIELDS",
    "MOVES",
    "STATES",
    "Decision",
    "Evidence",
    "check_move",
    "decide",
    "evidence",
    "kept",
    "may_move",
    "next_states",
    "plain_facts",
    "reached",
    "served",
]
