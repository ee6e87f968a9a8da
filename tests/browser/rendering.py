"""What Chromium shows for the bytes of a picture."""

import base64

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

_DRAW = """async ([url, ground]) => {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d", {colorSpace: "srgb", willReadFrequently: true});
  context.fillStyle = ground;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  let text = "";
  for (let at = 0; at < pixels.length; at += 8192) text += String.fromCharCode(...pixels.subarray(at, at + 8192));
  return [canvas.width, canvas.height, btoa(text)];
}"""


def shown(page: Page, data: bytes, media_type: str, *, ground: str) -> NDArray[np.float64]:
    """Draw a picture on a ground, `white` or `black`; return `[height, width, 3]` in 0 to 1."""
    url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
    width, height, pixels = page.evaluate(_DRAW, [url, ground])
    drawn = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(height, width, 4)
    return drawn[..., :3] / 255
