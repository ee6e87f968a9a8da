"""What a job is painted from, and what its opacity and its timelapse become."""

import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from shared.imaging import codec
from shared.imaging.decoders.pool import open_decoders
from shared.states import State
from tests.support.factories import picture
from tests.support.job_runs import load, queue, run_one, upload
from worker.jobs.image_loader import ImageLoader

RAMP = np.linspace(0, 1, 24, dtype=np.float32)[np.newaxis].repeat(16, axis=0)


def decoded(store, job) -> codec.Decoded:
    return codec.decode(store.get(job.result["key"]), max_px=10**6)


def manifest(store, job) -> dict:
    return json.loads(store.get(job.result["manifest_key"]))


def test_the_opacity_of_the_content_is_that_of_the_result(context, database, store) -> None:
    job_id = queue(database, store, codec.encode(picture(), RAMP, format="png"))
    run_one(job_id, context)
    painted = decoded(store, load(context, job_id))
    assert np.abs(painted.alpha - RAMP).max() < 1 / 254
    assert np.abs(painted.rgb - picture())[RAMP > 0].max() < 1 / 254


def test_the_opacity_follows_the_size_of_the_result(context, database, store) -> None:
    large = RAMP.repeat(3, axis=0).repeat(3, axis=1)
    job_id = queue(database, store, codec.encode(picture(72, 48), large, format="png"), init_id=upload(database, store))
    run_one(job_id, context)
    painted = decoded(store, load(context, job_id))
    assert painted.alpha.shape == (16, 24)
    assert np.abs(painted.alpha - RAMP).max() < 1 / 50


def test_an_opaque_content_gives_an_opaque_result(context, database, store) -> None:
    job_id = queue(database, store)
    run_one(job_id, context)
    assert decoded(store, load(context, job_id)).alpha is None


def test_a_mask_counts_by_its_brightness_and_opacity(context, database, store) -> None:
    colours = np.zeros((16, 24, 3), np.float32)
    colours[:8, :, 0], colours[8:] = 1, 1
    mask = upload(database, store, codec.encode(colours, RAMP, format="png"))
    style = upload(database, store)
    job_id = queue(database, store, styles=[{"image": style, "weight": 0.5, "mask": mask}])
    run_one(job_id, context)
    [[given]] = context.painter.styles
    assert (given.mask.dtype, given.weight, given.key) == (np.float32, 0.5, style)
    assert np.abs(given.mask[:8] - 0.299 * RAMP[:8]).max() < 1 / 254
    assert np.abs(given.mask[8:] - RAMP[8:]).max() < 1 / 254
    job = load(context, job_id)
    assert manifest(store, job)["masks"] == [mask]
    assert manifest(store, job)["images"] == sorted({job.content_id, style, mask})


def test_a_job_starts_from_the_picture_it_names(context, database, store) -> None:
    start = upload(database, store, codec.encode(picture(seed=5), format="png"))
    job_id = queue(database, store, init_id=start)
    run_one(job_id, context)
    [[subject]] = context.painter.subjects
    assert np.abs(subject.init - picture(seed=5)).max() < 1 / 254
    job = load(context, job_id)
    assert manifest(store, job)["init"] == start
    assert start in manifest(store, job)["images"]


def test_a_style_is_decoded_once_for_many_jobs(context, database, store, monkeypatch) -> None:
    style = upload(database, store, codec.encode(picture(seed=7), format="png"))
    read, get = [], store.get
    monkeypatch.setattr(store, "get", lambda key: read.append(key) or get(key))
    for _ in range(2):
        assert run_one(queue(database, store, styles=[{"image": style, "weight": 1.0}]), context) == State.SUCCEEDED
    assert len([key for key in read if key.endswith(style.removeprefix("sha256:"))]) == 1
    [[first], [second]] = context.painter.styles
    assert first.picture is second.picture
    with pytest.raises(ValueError, match="read-only"):
        first.picture[0] = 0


def test_a_style_comes_with_its_opacity(context, database, store) -> None:
    style = upload(database, store, codec.encode(picture(), RAMP, format="png"))
    run_one(queue(database, store, styles=[{"image": style, "weight": 1.0}]), context)
    [[given]] = context.painter.styles
    assert np.abs(given.opacity - RAMP).max() < 1 / 254
    with pytest.raises(ValueError, match="read-only"):
        given.opacity[0] = 0


def test_kept_styles_are_bounded_in_bytes(settings, database, store) -> None:
    ids = [upload(database, store, codec.encode(picture(seed=seed), format="png")) for seed in range(3)]
    decoders = open_decoders(settings.decoding)
    pictures = ImageLoader(store, decoders, cache_bytes=2 * picture().nbytes)

    def loaded(image_id: str) -> np.ndarray:
        return pictures.styles([{"image": image_id, "weight": 1.0}])[0].picture

    first, second = loaded(ids[0]), loaded(ids[1])
    assert loaded(ids[0]) is first
    loaded(ids[2])
    assert loaded(ids[0]) is first
    assert loaded(ids[1]) is not second
    small = ImageLoader(store, decoders, cache_bytes=10)
    assert small.styles([{"image": ids[0], "weight": 1.0}])[0].picture.shape == (16, 24, 3)


def test_a_film_strip_is_made_of_the_previews(context, database, store) -> None:
    eager = replace(context, settings=context.settings.model_copy(update={"preview_interval_s": 0.0}))
    short, watched = queue(database, store, params={"steps": 1}), queue(database, store)
    run_one(short, context)
    run_one(watched, eager)
    assert "film_key" not in load(context, short).result
    with Image.open(BytesIO(store.get(load(context, watched).result["film_key"]))) as strip:
        assert strip.width > 2 * strip.height


def test_a_timelapse_is_stored_only_if_asked_for(context, database, store) -> None:
    plain, asked = queue(database, store), queue(database, store, params={"timelapse": 3})
    run_one(plain, context)
    run_one(asked, context)
    assert "timelapse_key" not in load(context, plain).result
    with Image.open(BytesIO(store.get(load(context, asked).result["timelapse_key"]))) as film:
        assert (film.format, film.n_frames, film.size) == ("WEBP", 3, (24, 16))


def test_a_resumed_job_has_the_frames_of_all_its_attempts(context, database, store) -> None:
    job_id = queue(database, store, params={"timelapse": 3})
    assert run_one(job_id, replace(context, draining=iter([False, True]).__next__)) == State.QUEUED
    assert run_one(job_id, context) == State.SUCCEEDED
    with Image.open(BytesIO(store.get(load(context, job_id).result["timelapse_key"]))) as film:
        assert film.n_frames == 3
