// Draws the figures in the colours of the page, and again when those change.
"use strict";
(() => {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const plots = [...document.querySelectorAll(".plot")];
  const config = {
    responsive: true,
    displaylogo: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d"],
  };

  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // A copy of a specification with `@name` replaced by the colour of that name.
  const themed = (value) => {
    if (typeof value === "string") return value[0] === "@" ? colour(value.slice(1)) : value;
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(themed);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, themed(one)]));
  };

  const draw = async (plot, width) => {
    const { data, layout } = themed(specs[plot.id]);
    const space = width ?? plot.clientWidth;
    if (space < 520) {
      layout.margin = { ...layout.margin, l: 44, r: 6 };
      layout.font = { ...layout.font, size: 11 };
      if (layout.xaxis.tickvals?.length > 3) layout.xaxis.tickangle = -45;
      // Below the axis title, which slanted ticks push down; a legend above stays above.
      if (layout.legend?.y < 0 && plot.clientHeight < 450)
        layout.legend = { ...layout.legend, y: -0.36 };
    }
    if (width) layout.width = width;
    layout.height = plot.clientHeight;
    await Plotly.react(plot, data, layout, config);
    plot.dataset.drawn = "yes";
  };

  const drawAll = (width) => Promise.all(plots.map((plot) => draw(plot, width)));

  for (const query of ["(prefers-color-scheme: dark)", "(max-width: 40rem)"])
    matchMedia(query).addEventListener("change", () => drawAll());
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    for (const one of document.querySelectorAll("details")) one.open = true;
    drawAll(680);
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    drawAll();
  });
  drawAll();
})();
