"""Questions to the masters of a cluster, each by the slot of its first key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from nearline.stores.users._redis import FAILED


def ask_masters(client: Any, calls: Sequence[Sequence[Any]]) -> list[Any]:
    """Ask one master after the other: what one is asked is one round trip, and done in its order.

    The client's own pipeline asks another node for the keys of each script, and gives up where that one is away. It also
    follows redirections call by call, so that the last of them might come to a master that never had those before.

    Args:
        client: of the cluster.
        calls: a command each: GET, MGET or EVAL.

    Returns:
        An answer to each; an exception where a master refuses that command.

    Raises:
        Exception: one of `FAILED`: a master is away, or another by now. Who it is has been asked; all may be asked again.
    """
    nodes, answers = client.nodes_manager, [None] * len(calls)
    by_master: dict[str, tuple[Any, list[int]]] = {}
    try:
        for place, call in enumerate(calls):
            node = nodes.get_node_from_slot(client.keyslot(call[3 if call[0] == "EVAL" else 1]))
            by_master.setdefault(node.name, (node, []))[1].append(place)
        for node, places in by_master.values():
            pipeline = client.get_redis_connection(node).pipeline(transaction=False)
            for place in places:
                pipeline.execute_command(*calls[place])
            for place, answer in zip(places, pipeline.execute(raise_on_error=False), strict=True):
                if isinstance(answer, (MovedError, ClusterDownError)):
                    raise answer
                # Its slot is being moved to another master.
                passing = isinstance(answer, (AskError, TryAgainError))
                answers[place] = client.execute_command(*calls[place]) if passing else answer
    except FAILED:
        nodes.initialize()
        raise
    return answers
