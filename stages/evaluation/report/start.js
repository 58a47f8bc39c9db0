// Draws everything once.
chart("curve-chart", "Accuracy by labels per class", data.curves, CURVE);
drawConfusion();
drawClasses();
drawSlices();
drawTrust();
drawChecks();
list();
document.addEventListener("toggle", hintAtScrolling, true); // what was folded has no width before
window.addEventListener("resize", hintAtScrolling);
hintAtScrolling();
