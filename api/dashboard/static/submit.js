// The form of a job: pictures can be dropped on their fields and are shown; the presets' values stand in empty fields.
"use strict";

// An empty field says what the chosen preset has.
for (const choice of document.querySelectorAll("input[name=preset]")) {
  choice.addEventListener("change", () => {
    for (const field of document.querySelectorAll("[data-presets]")) {
      const value = JSON.parse(field.dataset.presets)[choice.value];
      const nothing = field.querySelector("option[value='']");
      if (nothing) nothing.textContent = `${value} (preset)`;
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
    const taken = new DataTransfer();
    for (const file of [...event.dataTransfer.files].slice(0, input.multiple ? undefined : 1)) taken.items.add(file);
    if (!taken.files.length) return;
    input.files = taken.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  input.addEventListener("change", () => {
    const shown = zone.querySelector(".chosen");
    shown.replaceChildren(...[...input.files].map((file) => {
      const image = new Image();
      image.src = URL.createObjectURL(file);
      image.alt = file.name;
      image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
      return image;
    }));
  });
}
