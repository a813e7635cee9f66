"""Rules: set, shown, withdrawn, tried out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nearline.client.asking import Asking, AsyncAsking, at, said, sending
from nearline.client.http import Request
from nearline.client.rule_types import Rule, RulePreview, RuleShown, RulesShown, RuleTaken

_RULE = "/v1/rules/{}"


def _preview(
    rule: Rule, user_id: str, session_id: str, context: str, page_size: int | None, item_id: str, filter: Sequence[str]
) -> Request:
    given = {
        "user_id": user_id, "session_id": session_id, "context": context, "page_size": page_size, "item_id": item_id,
        "filter": tuple(filter),
    }  # fmt: skip
    named = rule if rule.name else msgspec.structs.replace(rule, name="tried out")
    return sending("POST", "/v1/rules/preview", {**said(given), "rule": named})


class RuleCalls(Asking):
    """Endpoints of rules."""

    def rules(self) -> list[RuleShown]:
        """Return every rule, the highest priority first."""
        return self._ask(Request("GET", "/v1/rules"), RulesShown).rules

    def rule(self, name: str) -> RuleShown:
        """Return one rule."""
        return self._ask(Request("GET", at(_RULE, name)), RuleShown)

    def put_rule(self, name: str, rule: Rule) -> Rule:
        """Set a rule, in force from the next list on."""
        return self._ask(sending("PUT", at(_RULE, name), rule), RuleTaken).rule

    def delete_rule(self, name: str) -> None:
        """Withdraw a rule."""
        self.request(Request("DELETE", at(_RULE, name)))

    def preview_rule(
        self,
        rule: Rule,
        user_id: str = "",
        *,
        session_id: str = "",
        context: str = "",
        page_size: int | None = None,
        item_id: str = "",
        filter: Sequence[str] = (),
    ) -> RulePreview:
        """Return a list before and after a rule, which stays unset."""
        return self._ask(_preview(rule, user_id, session_id, context, page_size, item_id, filter), RulePreview)


class AsyncRuleCalls(AsyncAsking):
    """Endpoints of rules."""

    async def rules(self) -> list[RuleShown]:
        """Return every rule, the highest priority first."""
        return (await self._ask(Request("GET", "/v1/rules"), RulesShown)).rules

    async def rule(self, name: str) -> RuleShown:
        """Return one rule."""
        return await self._ask(Request("GET", at(_RULE, name)), RuleShown)

    async def put_rule(self, name: str, rule: Rule) -> Rule:
        """Set a rule, in force from the next list on."""
        return (await self._ask(sending("PUT", at(_RULE, name), rule), RuleTaken)).rule

    async def delete_rule(self, name: str) -> None:
        """Withdraw a rule."""
        await self.request(Request("DELETE", at(_RULE, name)))

    async def preview_rule(
        self,
        rule: Rule,
        user_id: str = "",
        *,
        session_id: str = "",
        context: str = "",
        page_size: int | None = None,
        item_id: str = "",
        filter: Sequence[str] = (),
    ) -> RulePreview:
        """Return a list before and after a rule, which stays unset."""
        return await self._ask(_preview(rule, user_id, session_id, context, page_size, item_id, filter), RulePreview)
