// The submission form: pictures can be dropped and are previewed; empty fields show the preset's values.
"use strict";

for (const choice of document.querySelectorAll("input[name=preset]")) {
  choice.addEventListener("change", () => {
    for (const field of document.querySelectorAll("[data-presets]")) {
      const value = JSON.parse(field.dataset.presets)[choice.value];
      const empty = field.querySelector("option[value='']");
      if (empty) empty.textContent = `${value} (preset)`;
      else field.querySelector("input").placeholder = value;
    }
  });
}

for (const zone of document.querySelectorAll(".drop")) {
  const input = zone.querySelector("input");
  const over = (event) => { event.preventDefault(); zone.classList.add("over"); };
  const out = () => zone.classList.remove("over");
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", out);
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    out();
    const dropped = new DataTransfer();
    for (const file of [...event.dataTransfer.files].slice(0, input.multiple ? undefined : 1)) dropped.items.add(file);
    if (!dropped.files.length) return;
    input.files = dropped.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  input.addEventListener("change", () => {
    zone.querySelector(".chosen").replaceChildren(...[...input.files].map((file) => {
      const image = new Image();
      image.src = URL.createObjectURL(file);
      image.alt = file.name;
      image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
      return image;
    }));
  });
}
