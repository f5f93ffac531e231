"""The asynchronous client against the real HTTP service; that it asks as the blocking one does, the unit tests show."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from uuid import UUID

import pytest

from service.client import AsyncClient, Event, NotFound
from service.contract.scopes import Scope
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.jobs.events import repository as events
from service.settings import Settings
from tests.support.api_server import BODY, insert_job, key_for, serving, set_job
from tests.support.artifacts import FILES, publish
from tests.support.waiting import CEILING_SECONDS

Scene = Callable[[AsyncClient], Awaitable[None]]
Play = Callable[[Scene], None]
MAX_EVENT_STREAMS = 20


@pytest.fixture
def play(settings: Settings, database: Database) -> Iterator[Play]:
    """Runs a function with a client of a running service."""
    key = key_for(database, Scope.ADMIN)
    with serving(settings.model_copy(update={"max_event_streams": MAX_EVENT_STREAMS})) as url:

        async def with_client(scene: Scene) -> None:
            async with AsyncClient(url, key) as client:
                await scene(client)

        yield lambda scene: asyncio.run(with_client(scene))


def test_requests_return_typed_results_and_lists_are_complete(play: Play, database: Database) -> None:
    made = {str(insert_job(database)) for _ in range(45)}

    async def scene(client: AsyncClient) -> None:
        job = await client.jobs.create(BODY | {"labels": {"team": "search"}})
        assert job.labels == {"team": "search"}
        assert [found.id async for found in client.jobs.list(labels={"team": "search"})] == [job.id]
        assert {found.id async for found in client.jobs.list()} == made | {job.id}
        assert (await client.jobs.plan(BODY)).queue.position == 47
        assert (await client.recipes())["presets"]
        with pytest.raises(NotFound):
            await client.jobs.manifest(job.id)

    play(scene)


def test_one_client_streams_waits_and_requests_concurrently(play: Play, database: Database) -> None:
    async def collect(client: AsyncClient, job_id: str, begun: asyncio.Event) -> list[Event]:
        seen = []
        async for event in client.jobs.events(job_id):
            seen.append(event)
            begun.set()
        return seen

    async def scene(client: AsyncClient) -> None:
        jobs = [await client.jobs.create(BODY) for _ in range(5)]
        begun = [asyncio.Event() for _ in jobs]
        following = [asyncio.create_task(collect(client, job.id, stream)) for job, stream in zip(jobs, begun, strict=True)]
        waiting = [asyncio.create_task(client.jobs.wait(job.id, timeout=CEILING_SECONDS)) for job in jobs]
        await asyncio.gather(*(stream.wait() for stream in begun))
        with database.begin() as session:
            for number in range(20):
                events.append(session, UUID(jobs[0].id), EventType.BLOCK_PRUNED, {"n": number})
        for job in jobs:
            await client.jobs.cancel(job.id)
        seen = await asyncio.wait_for(asyncio.gather(*following), CEILING_SECONDS)
        assert [event.seq for event in seen[0]] == list(range(1, len(seen[0]) + 1))
        assert [event.data["n"] for event in seen[0] if event.type == EventType.BLOCK_PRUNED] == list(range(20))
        assert {each[-1].type for each in seen} == {EventType.CANCELLED}
        assert {job.state for job in await asyncio.gather(*waiting)} == {JobState.CANCELLED}

    play(scene)


def test_a_stream_can_be_closed_early(play: Play) -> None:
    async def scene(client: AsyncClient) -> None:
        job = await client.jobs.create(BODY)
        for _ in range(MAX_EVENT_STREAMS + 1):
            async with aclosing(client.jobs.events(job.id)) as stream:
                assert (await anext(stream)).type == EventType.CREATED

    play(scene)


def test_waiting_ends_with_the_job_or_the_timeout(play: Play, database: Database) -> None:
    async def scene(client: AsyncClient) -> None:
        job = await client.jobs.create(BODY)
        with pytest.raises(TimeoutError, match="still queued"):
            await client.jobs.wait(job.id, timeout=0)
        set_job(database, job.id, state=JobState.CANCELLED)
        assert (await client.jobs.wait(job.id, timeout=CEILING_SECONDS)).state == JobState.CANCELLED

    play(scene)


def test_an_artifact_is_downloaded_and_resumed_after_a_break(
    play: Play, settings: Settings, database: Database, tmp_path: Path
) -> None:
    job_id, folder = str(publish(settings, database)), tmp_path / "got"
    folder.mkdir()
    (folder / "model.safetensors.dsnot-part").write_bytes(FILES["model.safetensors"][:1000])

    async def scene(client: AsyncClient) -> None:
        manifest = await client.jobs.download(job_id, folder)
        assert {file.path for file in manifest.files} == set(FILES)

    play(scene)
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == FILES


def test_data_sets_webhooks_and_triggers_work(play: Play, tmp_path: Path) -> None:
    text = tmp_path / "tickets.txt"
    text.write_text("It does not work.\n\nNow it does.\n" * 50_000)

    async def scene(client: AsyncClient) -> None:
        dataset = await client.datasets.upload(text, name="tickets")
        assert (dataset.name, dataset.documents) == ("tickets", 50_001)
        assert dataset.id in {each.id async for each in client.datasets.list()}
        await client.datasets.delete(dataset.id)
        webhook = await client.webhooks.create("https://example.com/hook")
        changed = await client.webhooks.change(webhook.id, enabled=False, events=["job.failed"])
        assert (changed.enabled, changed.events) == (False, ["job.failed"])
        assert await client.webhooks.list() == [await client.webhooks.get(webhook.id)]
        trigger = await client.triggers.create("nightly", {"model": {"id": "${{ data.model }}"}})
        event = {"id": "1", "model": BODY["model"]["id"]}
        fired, again = await client.triggers.fire(trigger.id, event), await client.triggers.fire(trigger.id, event)
        assert fired.job_id == again.job_id is not None
        detail = await client.triggers.get_firing(trigger.id, fired.id)
        assert detail.event is not None
        assert detail.event["data"] == event
        assert not (await client.triggers.change(trigger.id, enabled=False)).enabled

    play(scene)
