"use strict";
// Better with this, and complete without: buttons that copy, and search and zoom in the picture of stacks.
(() => {
  const say = (button, word) => {
    const before = button.textContent;
    button.textContent = word;
    setTimeout(() => { button.textContent = before; }, 1500);
  };
  for (const code of document.querySelectorAll("code.command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", () => {
      const mark = () => {
        getSelection().selectAllChildren(code);
        say(button, "Selected");
      };
      // Browsers give the clipboard to https and localhost only.
      if (navigator.clipboard) {
        navigator.clipboard.writeText(code.textContent).then(() => say(button, "Copied"), mark);
      } else {
        mark();
      }
    });
    code.after(button);
  }

  const flame = document.getElementById("flame");
  if (!flame) return;
  const [search, reset, found, detail] =
    ["flame-search", "flame-reset", "flame-found", "flame-detail"].map((id) => document.getElementById(id));
  const width = flame.viewBox.baseVal.width;
  const frames = Array.from(flame.querySelectorAll("g"), (g) => {
    const [title, rect, text] = g.children;
    const start = Number(rect.getAttribute("fg:x"));
    return {
      g, rect, text, start,
      title: title.textContent,
      name: title.textContent.replace(/ \([\d,]+ goroutines, .*$/, ""),
      end: start + Number(rect.getAttribute("fg:w")),
      y: Number(rect.getAttribute("y")),
    };
  });
  const total = Math.max(1, ...frames.map((frame) => frame.end));
  const hint = detail.textContent;

  const zoom = (from, to, y) => {
    for (const frame of frames) {
      const outside = frame.end <= from || frame.start >= to;
      frame.g.classList.toggle("outside", outside);
      if (outside) continue;
      const left = Math.max(0, (frame.start - from) / (to - from)) * 100;
      const right = Math.min(1, (frame.end - from) / (to - from)) * 100;
      frame.rect.setAttribute("x", left + "%");
      frame.rect.setAttribute("width", (right - left) + "%");
      frame.text.setAttribute("x", (left + 300 / width) + "%");
      const room = Math.floor((right - left) / 100 * width / 7.2);
      frame.text.textContent = room < 3 ? "" : frame.name.length < room ? frame.name : frame.name.slice(0, room - 2) + "..";
      frame.g.classList.toggle("above", y !== undefined && frame.y < y);
    }
    reset.hidden = y === undefined;
  };

  const look = () => {
    const word = search.value.trim().toLowerCase();
    const spans = [];
    for (const frame of frames) {
      const hit = word !== "" && frame.name.toLowerCase().includes(word);
      frame.g.classList.toggle("hit", hit);
      if (hit) spans.push([frame.start, frame.end]);
    }
    flame.classList.toggle("searched", word !== "");
    // Calls lie within each other: goroutines are counted once.
    spans.sort((a, b) => a[0] - b[0]);
    let [sum, reached] = [0, 0];
    for (const [start, end] of spans) {
      sum += Math.max(0, end - Math.max(start, reached));
      reached = Math.max(reached, end);
    }
    found.textContent = word === "" ? "" : `${sum.toLocaleString("en")} goroutines (${(sum * 100 / total).toFixed(1)} %)`;
  };

  for (const frame of frames) {
    frame.g.addEventListener("click", () => zoom(frame.start, frame.end, frame.y));
    frame.g.addEventListener("pointerenter", () => { detail.textContent = frame.title; });
    frame.g.addEventListener("pointerleave", () => { detail.textContent = hint; });
  }
  search.addEventListener("input", look);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { search.value = ""; look(); }
  });
  reset.addEventListener("click", () => zoom(0, total));
  for (const tools of document.querySelectorAll("[data-for=flame]")) tools.hidden = false;
})();
