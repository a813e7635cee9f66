"""What `GET /v1/explain` says, by verdict."""

from __future__ import annotations

ANSWERS = {
    "shown": "It is at place {rank} of {of}, found by {sources}. {because}.",
    "withdrawn": "It is not available, so no list has it.",
    "fallback": "No candidates were ranked in this run: the list came from {from}, and it is not in that one.",
    "not_retrieved": "No source found it for this visitor now.",
    "filtered": "Found by {sources}; dropped by a filter: {filters}.",
    "crowded_out": "Found by {sources}, too deep: the sources returned more than a request keeps.",
    "not_ranked": "Found by {sources}; more candidates were found than are ranked.",
    "outranked": "It is at place {rank}, found by {sources}; the list ends with {last} at place {of}.",
    "arranged": "Found by {sources}. By score it is at place {by_score}, but {step} put others before it.",
}
"""In one sentence or two, with what the run left."""

NEEDED = {
    "shown": "",
    "withdrawn": "Register it with PUT /v1/items/{item}, with available true.",
    "fallback": "A run in which every stage is on time: see `missing`, and ask again.",
    "not_retrieved": "An event of this visitor with an item that leads to it, more events of others with it, or a larger "
    "quota of a source.",
    "filtered": "{filters} would have to keep it: what it filters by must change, or its time must pass.",
    "crowded_out": "A better rank at a source, or a larger [candidates] limit.",
    "not_ranked": "A better rank at a source, or a larger [candidates] ranked (or more time for ranking).",
    "outranked": "A score higher by {gap} passes {last}; or a longer list.",
    "arranged": "A higher score, or {step} would have to leave the order as it was.",
}
"""What it would take for the item to be shown."""
