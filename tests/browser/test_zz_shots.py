"""scratch: screenshots"""
import sys, random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4
import pytest
from service.contract.spec import JobSpec
from service.contract.states import JobState, TERMINAL_STATES
from service.database.tables.jobs import Job
from tests.support.api_server import insert_job
from tests.support.dashboard_jobs import METRICS, HOSTILE
from tests.support.settling import settle
OUT = Path("/tmp/jt"); OUT.mkdir(exist_ok=True)

def fill(database, count):
    r = random.Random(3); now = datetime.now(UTC)
    models = ["SmolLM2-135M-Instruct", "meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-0.5B"]
    for n in range(count):
        share = r.choice([.3,.4,.5,.6,.7]); preset = r.choice(["fast","balanced","best",None])
        recipe = {"pattern": {"type":"unstructured","sparsity":share}} | ({"preset":preset} if preset else {"criterion":"ria"})
        if n % 9 == 0: recipe["pattern"] = {"type":"n:m","n":2,"m":4}
        model = models[n % 3]
        spec = JobSpec.model_validate({"model":{"source":"local","id":model} if n%3==0 else {"id":model}, "recipe":recipe}).model_dump(mode="json")
        state = r.choice([JobState.SUCCEEDED]*6+list(JobState))
        created = now - timedelta(minutes=n*37+2)
        v = dict(model=model, spec=spec, labels={"team": r.choice(["search","ads"]), "commit": f"{n:07x}"} if n%4 else {}, created_at=created)
        if n % 3 == 0: v["name"] = f"Baseline grid #{n}"
        if state in TERMINAL_STATES:
            v["finished_at"] = created+timedelta(seconds=r.randrange(30, 9000)); v["started_at"]=created
        if state == JobState.RUNNING:
            v |= dict(stage="pruning", progress={"done": 12, "total": 30, "unit": "blocks", "eta_seconds": 54.2}, started_at=created)
        if state == JobState.FAILED: v["error"] = {"code":"out-of-device-memory","detail":"The device ran out of memory.","retryable":False}
        if state == JobState.SUCCEEDED:
            import copy
            m = copy.deepcopy(METRICS); m["pruned"]["perplexity"][0]["perplexity"] = 14.446*(1+ (10**(share*6)/2000)*r.uniform(.8,1.2)); m["agreement"][0]["top1_agreement"]=1-share*r.uniform(.5,.6)
            v |= dict(metrics=m, artifact_bytes=269_060_552)
        insert_job(database, state=state, **v)

def test_shots(opened, database):
    def shot(path, name, full=False, act=None, **more):
        page = opened(path, excused="status of 422", **more); settle(page)
        if act: act(page); settle(page)
        page.screenshot(path=OUT/f"{name}.png", full_page=full)
        print(name, page.evaluate("document.documentElement.scrollWidth"), page.evaluate("innerWidth"))
        return page
    shot("/jobs","empty"); shot("/jobs","empty-phone",size="phone")
    fill(database, 200)
    for scheme in ("light","dark"):
        shot("/jobs", f"list-{scheme}", scheme=scheme)
        shot("/jobs", f"phone-{scheme}", scheme=scheme, size="phone")
    shot("/jobs?group=model&sort=perplexity", "group", act=lambda p: p.locator(".pick").nth(1).check())
    shot("/jobs?group=label:team&sort=perplexity", "group-dark", scheme="dark")
    shot("/jobs?group=model", "group-phone", size="phone")
    shot("/jobs?q=nowhere&state=failed", "nomatch"); shot("/jobs?q=preset:cheap&label=wrong&column=colour", "bad")
    def some(p):
        for i in range(8): p.locator(".pick").nth(i).check()
    shot("/jobs", "bulk", act=some); shot("/jobs", "bulk-phone", act=some, size="phone")
    shot("/jobs?model=meta-llama/Llama-3.1-8B&label=team%3Dsearch", "options", act=lambda p: p.locator(".options summary").click())
    shot("/jobs", "options-phone", size="phone", act=lambda p: p.locator(".options summary").click())
