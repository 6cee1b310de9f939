// The keys of the review page: [keys, meaning, action].

export function shortcuts(page) {
  const timeline = () => page.querySelector("console-timeline");
  const relabel = (key) => {
    const name = page.labels[Number(key) - 1];
    if (name) page.decide("confirmed", name);
  };
  return [
    [["c"], "Confirm, store, go on and play", () => page.decide("confirmed")],
    [["x"], "Reject, store, go on and play", () => page.decide("rejected")],
    [["1", "2", "3", "4", "5", "6", "7", "8", "9"], "It is of the type with this number", relabel],
    [["a"], "Reject what sounds alike", () => page.alike()],
    [["u"], "Undo the last decision", () => page.undo()],
    [["j", "ArrowDown"], "Next", () => page.go(page.index + 1)],
    [["k", "ArrowUp"], "Previous", () => page.go(page.index - 1)],
    [[" "], "Play or stop", () => page.toggle()],
    [["r"], "Play again", () => page.play()],
    [["l"], "Loop", () => page.flip("looped")],
    [["s"], "Half speed", () => page.flip("slow")],
    [["g"], "18 dB louder", () => page.flip("loud")],
    [["q"], "Start 10 ms earlier", () => page.nudge("reviewed_start_ms", -10)],
    [["w"], "Start 10 ms later", () => page.nudge("reviewed_start_ms", 10)],
    [["o"], "End 10 ms earlier", () => page.nudge("reviewed_end_ms", -10)],
    [["p"], "End 10 ms later", () => page.nudge("reviewed_end_ms", 10)],
    [["+", "="], "Zoom in", () => timeline()?.zoom(0.5)],
    [["-"], "Zoom out", () => timeline()?.zoom(2)],
    [["ArrowLeft"], "Move left", () => timeline()?.pan(-0.25)],
    [["ArrowRight"], "Move right", () => timeline()?.pan(0.25)],
    [["v"], "Show the model's scores", () => page.flip("scores")],
    [["z"], "Zoom to the detection", () => page.item && page.zoomIn()],
    [["0"], "Show the whole file", () => timeline()?.show(0, page.file.duration_ms)],
    [["?"], "Show the keys", () => page.querySelector("dialog.help").showModal()],
  ];
}
