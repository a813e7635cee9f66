"""The page at `/` uses what the server can do beside one list: rows, filters, onboarding, rules tried out."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect
from server_process import Server
from visit import PHONE, WIDE, Visit, shoot, until


def categories(page: Page) -> list[str]:
    found: list[str] = page.locator(".card .kind span:first-child").evaluate_all("all => all.map(one => one.title)")
    return found


UNDER = "wide => [...document.querySelectorAll('.card .kind span:first-child')].every(one => one.title.startsWith(wide))"


def fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")


def test_rows_follow_a_click_and_hold_no_item_twice(browser: Browser, shop: Server) -> None:
    visit = Visit(browser, shop, viewport=WIDE)
    page = visit.open("#/rows")
    expect(page.locator(".row").nth(2)).to_be_visible()
    before = visit.ids()
    assert len(before) == len(set(before)) > 20
    titles = page.locator(".row h2").all_inner_texts()
    assert len(set(titles)) == len(titles) >= 3
    row = page.locator(".row").nth(1)
    request_id = row.locator(".cards").get_attribute("data-request")
    clicked = row.locator(".card").first.get_attribute("data-item")
    row.locator(".pick").first.click()
    panel = page.locator(".journey[data-offset]")
    expect(panel).to_be_visible()
    expect(page.locator(".known .bar").first).to_be_visible()
    assert visit.ids() != before
    log = shop.tenant().log(read_only=True)
    (record,) = log.read("user_events", int(panel.get_attribute("data-offset") or 0) - 1, 1)[1]
    log.close()
    assert (record.item_id, record.request_id, record.position) == (clicked, request_id, 1)
    shoot(page, "page-rows")
    # Another page of rows is about an item.
    page.get_by_role("button", name="item", exact=True).click()
    expect(page.locator(".subject a")).to_be_visible()
    expect(page.locator(".row").first).to_be_visible()
    visit.close()


def test_a_filter_holds_for_every_list_of_the_page(browser: Browser, shop: Server) -> None:
    visit = Visit(browser, shop, viewport=WIDE)
    page = visit.open()
    expect(page.locator(".card").first).to_be_visible()
    offered = page.evaluate("fetch('v1/application').then(answer => answer.json()).then(told => told.attributes)")
    page.get_by_role("button", name="Filter", exact=True).click()
    assert page.get_by_label("Attribute").locator("option").evaluate_all("all => all.map(one => one.value)") == [
        one["name"] for one in offered
    ]
    value = page.locator("#add-filter input")
    suggested = page.locator("#filter-values option").evaluate_all("all => all.map(one => one.value)")
    wide = next(one for one in suggested if " > " not in one)
    value.fill(wide)
    page.get_by_role("button", name="Add", exact=True).click()
    chip = page.locator(".filters .chip")
    expect(chip).to_contain_text(f"category under {wide}")
    expect(page.locator(".about")).not_to_have_count(0)
    until(page, UNDER, wide)
    assert len(set(categories(page))) > 1
    # A number beside it.
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_label("Attribute").select_option("price")
    page.get_by_label("Comparison").select_option("at_most")
    page.locator("#add-filter input").fill("60")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(chip).to_have_count(2)
    until(page, "[...document.querySelectorAll('.card .price')].every(one => Number(one.textContent) <= 60)")
    # It holds in rows, too, until it is taken out.
    page.get_by_role("link", name="Rows").click()
    expect(page.locator(".row").first).to_be_visible()
    assert all(one.startswith(wide) for one in categories(page))
    for _ in range(2):
        page.locator(".filters .chip button").first.click()
    expect(chip).to_have_count(0)
    until(page, UNDER.replace("=> [", "=> !["), wide)
    visit.close()


def test_a_new_user_says_what_he_likes_and_gets_his_list(browser: Browser, untaught: Server) -> None:
    visit = Visit(
        browser, untaught, viewport=PHONE, device_scale_factor=1.5, is_mobile=True, has_touch=True, color_scheme="dark",
        reduced_motion="reduce",
    )  # fmt: skip
    page = visit.open()
    page.locator("#visitor").select_option(label="be a new visitor")
    page.get_by_role("link", name="Say what you like").tap()
    expect(page.get_by_role("heading", name="What do you like?")).to_be_visible()
    done = page.locator(".bottom .button")
    expect(done).to_be_disabled()
    tiles = page.locator(".tile")
    tiles.nth(1).tap()
    tiles.nth(2).tap()
    tiles.nth(3).tap()
    tiles.nth(2).tap()
    expect(tiles.nth(2)).to_have_attribute("aria-pressed", "false")
    fits(page)
    shoot(page, "page-onboarding")
    liked = [tiles.nth(n).locator(".name").evaluate("one => one.firstChild.textContent") for n in (1, 3)]
    expect(done).to_have_text("Show my list, from 2 choices")
    done.tap()
    expect(page.locator("#liked")).to_contain_text(", ".join(liked))
    expect(page.locator(".card").first).to_be_visible()
    user = page.evaluate("JSON.parse(localStorage['nearline-visitor']).user_id")
    status, known, _ = untaught.ask("GET", f"/v1/users/{user}")
    assert status == 200
    assert len(known["preferences"]["categories"]) == 2
    first = categories(page)[:8]
    assert sum(any(one.endswith(name) for name in liked) for one in first) >= 4, first
    fits(page)
    visit.close()


def test_a_rule_is_tried_out_side_by_side(browser: Browser, shop: Server) -> None:
    rule = {"action": {"type": "bury", "factor": 2}, "where": [{"attribute": "price", "op": "at_least", "value": 400}]}
    assert shop.ask("PUT", "/v1/rules/dear", rule)[0] == 200
    visit = Visit(browser, shop, viewport=WIDE)
    page = visit.open("#/rules")
    expect(page.locator(".standing li")).to_contain_text("dear")
    suggested = page.locator("#rule-values option").evaluate_all("all => all.map(one => one.value)")
    page.get_by_label("Action").select_option("at_least")
    page.locator(".try input[aria-label=count]").fill("4")
    page.locator(".try input[aria-label=Value]").fill(next(one for one in suggested if " > " not in one))
    page.get_by_role("button", name="Preview").click()
    trial = page.locator(".trial")
    expect(trial).to_be_visible()
    before, after = (trial.locator("section").nth(n).locator("li") for n in range(2))
    expect(before).to_have_count(12)
    expect(after).to_have_count(12)
    came = trial.locator("li.came").evaluate_all("all => all.map(one => one.dataset.item)")
    gone = trial.locator("li.gone").evaluate_all("all => all.map(one => one.dataset.item)")
    assert len(came) == len(gone)
    shoot(page, "page-rules")
    # What is excluded is gone; on a phone, too, where both lists stay side by side.
    page.set_viewport_size(PHONE)
    first = before.first.get_attribute("data-item") or ""
    page.get_by_label("Action").select_option("exclude")
    page.locator(".try").get_by_label("Attribute").select_option("item_id")
    page.locator(".try").get_by_label("Comparison").select_option("is")
    page.locator(".try input[aria-label=Value]").fill(first)
    page.get_by_role("button", name="Preview").click()
    expect(trial.locator(f'li.gone[data-item="{first}"]')).to_have_count(1)
    assert first not in after.evaluate_all("all => all.map(one => one.dataset.item)")
    left, right = (trial.locator("section").nth(n).bounding_box() for n in range(2))
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]
    fits(page)
    # A wrong one says what is wrong with it, and none of them was set.
    page.get_by_label("Action").select_option("boost")
    page.locator(".try input[aria-label=factor]").fill("1001")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".notice")).to_contain_text("1,000")
    assert [one["rule"]["name"] for one in shop.ask("GET", "/v1/rules")[1]["rules"]] == ["dear"]
    shop.ask("DELETE", "/v1/rules/dear")
    visit.errors = [error for error in visit.errors if "422" not in error]
    visit.close()


def test_the_new_views_fit_a_phone(browser: Browser, shop: Server) -> None:
    visit = Visit(browser, shop, viewport=PHONE, is_mobile=True, has_touch=True, color_scheme="dark", reduced_motion="reduce")
    for view in ("#/rows", "#/onboarding", "#/rules"):
        page = visit.open(view)
        expect(page.locator("main > *").first).to_be_visible()
        until(page, "document.querySelector('main').dataset.view")
        if view != "#/onboarding":
            page.get_by_role("button", name="Filter", exact=True).tap()
        fits(page)
        nameless = page.locator("button, a, select, input").evaluate_all(
            "all => all.filter(one => !(one.innerText || one.textContent || one.ariaLabel || one.labels?.length)).length"
        )
        assert nameless == 0, view
    visit.close()
