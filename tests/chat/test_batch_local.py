import json
from pathlib import Path

import pytest
from batch_asking import FACET, PRICES, answers, ask_for, ledger, mixed, rows
from batch_server import echo, fail

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.errors import BatchPending, BudgetExceeded
from clarilm_kedro.chat.types import Kind


def run_vllm(command: str, reply, *, only: int | None = None) -> None:
    """Do what `vllm run-batch` does: answers in order, errors without a body."""
    words = command.split()
    assert words[:2] == ["vllm", "run-batch"]
    given = dict(zip(words[2::2], words[3::2], strict=True))
    assert given["--model"] == "m-1"
    answered = []
    for line in Path(given["-i"]).read_text().splitlines()[:only]:
        asked = json.loads(line)
        status, body = reply(asked["body"])
        response = {"status_code": status, "request_id": "r", "body": body if status == 200 else None}
        error = None if status == 200 else body
        answered.append(
            json.dumps({"id": "v", "custom_id": asked["custom_id"], "response": response, "error": error}) + "\n"
        )
    Path(given["-o"]).write_text("".join(answered))


def pending(model: ChatEndpoint, requests) -> list[str]:
    with pytest.raises(BatchPending) as caught:
        answers(model, requests)
    assert "type the same kedro command again" in str(caught.value)
    return [line for line in str(caught.value).splitlines() if line.startswith("vllm ")]


def test_files_for_vllm_go_round_until_every_row_has_its_result(batches, dead_url, provider, tmp_path):
    asked = [ask_for(f"row {number}", response=FACET) for number in range(12)]
    live = answers(
        batches(provider(mixed), mode="live", store=tmp_path / "live.sqlite", max_tokens=50, concurrency=1), asked
    )
    options = {"mode": "batch_files", "batch_max_requests": 5, "max_tokens": 50}
    # All rows; the second askings and those with more room.
    for n_files, n_lines in ((3, 12), (1, 4)):
        commands = pending(batches(dead_url, **options), asked)
        assert len(commands) == n_files
        assert sum(len(Path(command.split()[3]).read_text().splitlines()) for command in commands) == n_lines
        for command in commands:
            run_vllm(command, mixed)
    results = answers(batches(dead_url, **options), asked)
    assert results.keys() == live.keys()
    for row_id, result in results.items():
        assert (result.status, result.key, result.text, result.parsed, result.error_kind, result.error) == (
            live[row_id].status,
            live[row_id].key,
            live[row_id].text,
            live[row_id].parsed,
            live[row_id].error_kind,
            live[row_id].error,
        )
    left = [path.name for path in (tmp_path / "batches").iterdir()]
    assert len(left) == 4
    assert all(name.endswith(".out.jsonl") for name in left)


def test_answers_that_vllm_has_written_so_far_are_read_and_the_rest_is_asked(batches, dead_url, tmp_path):
    options = {"mode": "batch_files"}
    (command,) = pending(batches(dead_url, **options), rows(6))
    assert pending(batches(dead_url, **options), rows(6)) == [command]
    run_vllm(command, echo, only=4)
    with Path(command.split()[5]).open("a") as file:
        file.write('{"custom_id": "torn')
    (rest,) = pending(batches(dead_url, **options), rows(6))
    assert rest != command
    assert len(Path(rest.split()[3]).read_text().splitlines()) == 2
    # The first run was still going on, and writes its end now.
    run_vllm(command, echo)
    results = answers(batches(dead_url, **options), rows(6))
    assert {result.status for result in results.values()} == {"ok"}
    assert ledger(tmp_path / "responses.sqlite") == {"ok": 6}


def test_answers_written_anew_in_another_order_are_all_read(batches, dead_url, tmp_path):
    (command,) = pending(batches(dead_url, mode="batch_files"), rows(6))
    run_vllm(command, echo, only=3)
    pending(batches(dead_url, mode="batch_files"), rows(6))
    run_vllm(command, echo)
    path = Path(command.split()[5])
    path.write_text("".join(path.read_text().splitlines(keepends=True)[::-1]))
    results = answers(batches(dead_url, mode="batch_files"), rows(6))
    assert {row: result.text for row, result in results.items()} == {row: f"echo: {row}" for row in results}
    assert ledger(tmp_path / "responses.sqlite") == {"ok": 6}


def test_a_line_that_always_fails_does_not_go_round_for_ever(batches, dead_url):
    def reply(body: dict) -> tuple[int, dict]:
        failing = {"row 0": fail(500, "engine died"), "row 1": fail(400, "too long")}
        return failing.get(body["messages"][-1]["content"], echo(body))

    rounds = 0
    while True:
        try:
            results = answers(batches(dead_url, mode="batch_files"), rows(3))
            break
        except BatchPending as error:
            rounds += 1
            assert rounds <= 3
            for command in [line for line in str(error).splitlines() if line.startswith("vllm ")]:
                run_vllm(command, reply)
    assert rounds == 3
    assert {row: result.error_kind for row, result in results.items()} == {
        "row 0": Kind.SERVER,
        "row 1": Kind.BAD_REQUEST,
        "row 2": None,
    }
    assert results["row 0"].error == "HTTP 500: engine died."
    # The stage is over; the next one starts anew.
    assert len(pending(batches(dead_url, mode="batch_files"), rows(3))) == 1


def test_files_that_would_cost_too_much_are_not_written(batches, dead_url, tmp_path):
    (tmp_path / "prices.yml").write_text(PRICES)
    model = batches(dead_url, mode="batch_files", prices=tmp_path / "prices.yml", budget_usd=3)
    with pytest.raises(BudgetExceeded):
        answers(model, rows(2))
    assert list((tmp_path / "batches").iterdir()) == []
