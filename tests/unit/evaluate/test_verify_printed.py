"""What `offer-optimizer verify` prints: a line for each check, findings with decision ids, valid JSON."""

from __future__ import annotations

import io
import json

from rich.console import Console

from offer_optimizer.cli.verify import as_object, show
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.evaluate.verify import Verification
from offer_optimizer.evaluate.verify_findings import MEANING, Check
from tests.unit.evaluate.test_verify import PLAIN, other_choice
from tests.unit.evaluate.verify_world import decide, verified

WRONG = other_choice(decide(PLAIN))


def printed(found: Verification) -> str:
    console = Console(file=io.StringIO(), width=160, highlight=False)
    show(found, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_check_has_a_line_that_says_what_agrees() -> None:
    text = printed(verified(decide(PLAIN)))
    for check in Check:
        assert check.value in text
        assert MEANING[check]
    assert "1 decisions up to ledger position 5: clean" in text


def test_a_finding_is_printed_with_its_decisions() -> None:
    text = printed(verified(WRONG))
    assert "the draw leads to another offer" in text
    assert format_decision_id(WRONG.decision_id) in text
    assert "1 problem(s) found" in text


def test_json_says_the_same() -> None:
    told = json.loads(json.dumps(as_object(verified(WRONG))))
    assert (told["clean"], told["decisions"], told["alpha"]) == (False, 1, 1e-4)
    assert set(told["judged"]) == {check.value for check in Check}
    (finding,) = told["findings"]
    assert (finding["check"], finding["decisions"]) == ("draw", 1)
    assert finding["decision_ids"] == [format_decision_id(WRONG.decision_id)]
    assert as_object(verified(decide(PLAIN)))["clean"]
