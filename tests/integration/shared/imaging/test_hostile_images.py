"""A corpus of hostile pictures: each is judged as it should be, at little cost, and says nothing of its own further on.

The files are made by `tests.hostile.images`.
"""

import io

import pytest
from PIL import Image, ImageFile, TiffImagePlugin, WebPImagePlugin

from shared.errors import AtelierError
from shared.imaging import codec, opening, saving
from tests.hostile import images
from tests.hostile.image_sandbox import judged
from tests.hostile.images import MAX_PX, SECRET, TAKEN
from tests.support.concurrency import race
from tests.support.sample_images import UPRIGHT, quarters, saved
from worker.jobs.runner import run

#: Most memory for judging one file, the interpreter's own included.
_MOST_BYTES = 512 * 2**20


@pytest.fixture(scope="module")
def corpus() -> list[images.File]:
    return images.corpus()


def test_the_corpus_is_large_and_has_every_kind(corpus) -> None:
    assert len({file.name for file in corpus}) == len(corpus) >= 200
    modes = {file.name.split("-")[1] for file in corpus if file.name.startswith("mode-")}
    assert modes == {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F", "I;16", "LAB"}
    others = {file.name.split("-")[1] for file in corpus if file.name.startswith("other-")}
    assert {"ppm", "tga", "ico", "pcx", "sgi", "jpeg2000", "eps", "pdf", "dib", "icns"} <= others


@pytest.mark.slow
def test_each_file_is_judged_rightly_within_its_time_and_memory(corpus) -> None:
    found = judged(corpus)
    wrong = {file.name: found[file.name].verdict for file in corpus if found[file.name].verdict not in file.verdicts}
    assert wrong == {}
    costly = {name: each.peak_bytes // 2**20 for name, each in found.items() if each.peak_bytes > _MOST_BYTES}
    assert costly == {}


@pytest.mark.slow
def test_each_file_gets_its_answer_from_the_api_and_never_a_5xx(client, corpus) -> None:
    wrong = {}
    for file in corpus:
        answer = client.post("/v1/images", data=file.data, content_type="image/png")
        verdict = TAKEN if answer.status_code in (200, 201) else answer.json["code"]
        if verdict not in file.verdicts or answer.status_code >= 500:
            wrong[file.name] = (answer.status_code, verdict)
    assert wrong == {}


def test_more_than_50_megapixels_are_refused_before_anything_is_decoded(monkeypatch) -> None:
    for kind in (ImageFile.ImageFile, TiffImagePlugin.TiffImageFile, WebPImagePlugin.WebPImageFile):
        monkeypatch.setattr(kind, "load", lambda self: pytest.fail(f"{self} was decoded"))
    for file in images.bombs():
        with pytest.raises(AtelierError) as raised:
            codec.inspect(file.data, max_bytes=10**7, max_px=MAX_PX)
        assert raised.value.code in file.verdicts, file.name


def painted(client, context, data: bytes) -> dict[str, bytes]:
    """Paint a picture like itself; return all that the job gives."""
    image_id = client.post("/v1/images", data=data, content_type="image/png").json["id"]
    params = {"size": 64, "steps": 4, "timelapse": 2}
    job = client.post("/v1/jobs", json={"content": image_id, "style": image_id, "params": params}).json
    run([job["id"]], context)
    paths = ["result?format=png", "result?format=jpeg", "result?format=webp", "preview", "timelapse", "manifest"]
    return {path: client.get(f"/v1/jobs/{job['id']}/{path}").data for path in paths}


@pytest.mark.parametrize("file", list(images.with_metadata()), ids=lambda file: file.name)
def test_nothing_of_what_a_picture_says_is_in_any_output(client, context, file) -> None:
    assert SECRET in file.data
    for path, data in painted(client, context, file.data).items():
        assert SECRET not in data, path
        if path != "manifest":
            shown = Image.open(io.BytesIO(data))
            assert not dict(shown.getexif()), path
            assert not {"exif", "xmp", "comment", "XML:com.adobe.xmp", "photoshop"} & set(shown.info), path
            assert shown.info.get("icc_profile") in (None, saving.PROFILE), path


@pytest.mark.parametrize("kind", images.FORMATS)
@pytest.mark.parametrize("orientation", images.STORED)
def test_a_turned_picture_is_upright_wherever_it_is_shown(client, orientation, kind) -> None:
    data = images.turned(orientation, kind)
    described = client.post("/v1/images", data=data, content_type="image/png").json
    assert (described["width"], described["height"]) == (64, 40)
    assert quarters(codec.decode(data, max_px=MAX_PX).rgb) == UPRIGHT


def test_large_pictures_are_decoded_one_after_the_other(monkeypatch) -> None:
    at_once, most = [0], [0]
    load = ImageFile.ImageFile.load

    def counted(self):
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        try:
            return load(self)
        finally:
            at_once[0] -= 1

    monkeypatch.setattr(opening, "_LARGE_PX", 0)
    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    data = saved(Image.new("RGB", (1500, 1500)))
    race(lambda: codec.inspect(data, max_bytes=10**7, max_px=MAX_PX), threads=6)
    assert most[0] == 1
