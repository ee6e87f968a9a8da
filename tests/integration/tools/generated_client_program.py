"""What a program does with a client that was generated from the description: upload, submit, poll, list, paint a batch.

`python generated_client_program.py URL KEY PICTURE` prints the job and the batch; any surprise ends it with an error.
The package `generated_client` is made while the tests run.
"""

import json
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from generated_client import AuthenticatedClient
from generated_client.api.batches import batches_change, batches_open, batches_show, batches_start
from generated_client.api.images import images_upload
from generated_client.api.items import items_add, items_listing
from generated_client.api.jobs import jobs_listing, jobs_show, jobs_submit
from generated_client.api.outputs import outputs_result
from generated_client.models import (
    BatchChange,
    BatchRequest,
    BatchRequestParams,
    BatchView,
    ImagesUploadFilesBody,
    ItemRequest,
    ItemsRequest,
    JobRequest,
    JobView,
    ProblemView,
    State,
    StyleChoice,
    StyleParams,
)
from generated_client.types import File


def polled(show: Callable[[], Any], over: Callable[[Any], bool]) -> Any:
    for _ in range(600):
        shown = show()
        if over(shown):
            return shown
        time.sleep(0.1)
    raise TimeoutError("too many polls")


def good(answer: Any) -> Any:
    """Return what a call answered; raise its problem, if it is one."""
    if isinstance(answer, ProblemView):
        raise RuntimeError(answer.detail)
    return answer


def painted(client: AuthenticatedClient, image: str) -> JobView:
    params = StyleParams(size=32, steps=4)
    request = JobRequest(content=image, styles=[StyleChoice(image=image, weight=2.0)], params=params, label="generated")
    job_id = good(jobs_submit.sync(client=client, body=request, idempotency_key="python-1")).id
    job = polled(lambda: jobs_show.sync(job_id, client=client, wait=1), lambda job: job.ended_at is not None)
    result = outputs_result.sync(job_id, client=client)
    assert len(result.payload.read()) == job.result.bytes_
    listed = jobs_listing.sync(client=client, state=[State.SUCCEEDED], label="generated")
    assert [each.id for each in listed.jobs] == [job_id]
    return job


def batched(client: AuthenticatedClient, image: str) -> BatchView:
    params = BatchRequestParams.from_dict({"size": 32, "steps": 4})
    request = BatchRequest(style=image, params=params, reuse=False)
    batch_id = good(batches_open.sync(client=client, body=request)).id
    body = ItemsRequest(items=[ItemRequest(key=name, content=image) for name in ("a.png", "b.png")])
    assert good(items_add.sync(batch_id, client=client, body=body)).added == 2
    good(batches_change.sync(batch_id, client=client, body=BatchChange(max_parallel=1)))
    good(batches_start.sync(batch_id, client=client))
    batch = polled(lambda: batches_show.sync(batch_id, client=client), lambda batch: batch.ended_at is not None)
    assert [item.key for item in items_listing.sync(batch_id, client=client).jobs] == ["a.png", "b.png"]
    return batch


def refused(client: AuthenticatedClient, image: str) -> str:
    answer = jobs_submit.sync_detailed(
        client=client, body=JobRequest(content=image, style=image, params=StyleParams(steps=0))
    )
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    return answer.parsed.code


def main(url: str, key: str, picture: str) -> None:
    with AuthenticatedClient(url, key) as client, Path(picture).open("rb") as opened:
        file = File(opened, "photo.png", "image/png")
        image = good(images_upload.sync(client=client, body=ImagesUploadFilesBody(file))).id
        job, batch = painted(client, image), batched(client, image)
        print(json.dumps({"job": job.to_dict(), "batch": batch.to_dict(), "refused": refused(client, image)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
