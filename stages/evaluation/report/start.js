// Draws everything once.
drawCurves();
drawPanels();
drawSlices();
drawChecks();
list();
document.addEventListener("toggle", hintAtScrolling, true); // what was folded has no width before
window.addEventListener("resize", hintAtScrolling);
hintAtScrolling();
