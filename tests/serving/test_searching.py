"""A search moves the very next list, by HTTP alone."""

from __future__ import annotations

from pathlib import Path

from house import House, told

from nearline.app.definition import App


def test_a_search_moves_the_very_next_list_and_leaves_with_the_user(tmp_path: Path) -> None:
    app = App(events=["view", "click", "search"])
    lots = [{"item_id": f"i{n}", "title": f"Thing {n}", "category": f"c{n % 9}"} for n in range(300)]
    lamps = [{"item_id": f"lamp{n}", "title": f"Brass lamp {n}", "category": f"Lighting > {n % 2}"} for n in range(4)]

    async def shown(house: House, size: int = 10) -> list[dict[str, object]]:
        items: list[dict[str, object]] = (await house.ask("GET", f"/v1/recommendations?user_id=u&page_size={size}"))["items"]
        return items

    async def before(house: House) -> None:
        await house.post("/v1/items", [*lots, *lamps])
        for n in range(0, 300, 2):
            await house.post("/v1/events", {"user_id": f"v{n}", "event_type": "click", "item_id": f"i{n}"}, 202)
        house.renew()
        assert not {i["item_id"] for i in await shown(house)} & {lamp["item_id"] for lamp in lamps}
        search = {"user_id": "u", "event_type": "search", "event_value": {"query": "lamps of brass"}}
        await house.post("/v1/events", search, 202)

    async def matching(house: House) -> None:
        listed = await shown(house)
        own = [i for i in listed if str(i["item_id"]).startswith("lamp")]
        assert len(own) >= 2
        assert listed[0] in own
        assert {i["rec_source"] for i in own} == {"searches"}
        reason = {"type": "matches_search", "reason": "Matches what you searched for"}
        assert reason.items() <= own[0]["explanation"].items()  # type: ignore[attr-defined]
        seen = (await house.ask("GET", "/v1/users/u"))["recent_searches"]
        assert [each["words"] for each in seen] == [3]

    async def after(house: House) -> None:
        await matching(house)  # from log or snapshot, as before the restart
        await house.ask("DELETE", "/v1/users/u")
        assert not [i for i in await shown(house) if str(i["item_id"]).startswith("lamp")]

    async def first(house: House) -> None:
        await before(house)
        await matching(house)

    told(app, tmp_path, first, after)
