"use strict";
(() => {
  const settings = {responsive: true, displayModeBar: false};
  const plots = [...document.querySelectorAll(".plot")];
  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    return {ink: style.getPropertyValue("--ink").trim(), panel: style.getPropertyValue("--panel").trim()};
  };
  const look = () => ({
    "font.color": colours().ink,
    "font.family": getComputedStyle(document.body).fontFamily,
    "hoverlabel.bgcolor": colours().panel,
    "hoverlabel.font.color": colours().ink,
  });
  const draw = (plot) => {
    const figure = JSON.parse(plot.parentElement.querySelector("script.figure").textContent);
    // A finger on a chart scrolls the page.
    if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false;
    Plotly.newPlot(plot, figure.data, figure.layout, settings).then(() => Plotly.relayout(plot, look()));
  };
  // Drawn when it comes near: a page of fifty charts opens at once.
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  }, {rootMargin: "600px"});
  plots.forEach((plot) => seen.observe(plot));
  window.addEventListener("beforeprint", () => plots.filter((plot) => !plot.data).forEach(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    plots.filter((plot) => plot.data).forEach((plot) => Plotly.relayout(plot, look()));
  });
})();
