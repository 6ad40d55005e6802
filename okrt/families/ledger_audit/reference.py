"""The two marks that a score stands between: a blind answer below, scripted play above."""

from __future__ import annotations

from okrt.families.ledger_audit.instance import Answer, Instance, share_right, totals_of

FLOOR = 0.0
"""Score of a blind answer, one that was made up without a look. Accounts and contacts are opaque
ids that no prompt shows, and a total is exact or wrong, so nothing of it is right."""


def reference_score(instance: Instance) -> float:
    """Returns the score of scripted play under the budget.

    It reads page by page, accounts first, keeps one unit for the contact, and answers from the
    rows that it saw. A budget of `generate` shows it every row, and so it scores 1.
    """
    size = instance.page
    pages = [instance.accounts[n : n + size] for n in range(0, len(instance.accounts), size)]
    reads = instance.budget - 1
    accounts = [account for page in pages[:reads] for account in page]
    entries = instance.entries[: max(reads - len(pages), 0) * size]
    totals = totals_of(accounts, entries, instance.region, instance.kind)
    if not totals:
        return FLOOR
    best = max(totals, key=lambda account: totals[account])
    (contact,) = [account.contact for account in accounts if account.id == best]
    return share_right(Answer(sum(totals.values()), best, contact), instance.answer)
