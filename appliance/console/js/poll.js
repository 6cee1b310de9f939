// Repeats a question while its page is open: every second while work runs, else every ten, never in a hidden tab.

export const FAST_MS = 1000;
export const SLOW_MS = 10_000;

export function wait(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
  });
}

function shown(signal) {
  return new Promise((resolve) => {
    const look = () => {
      if (document.visibilityState === "hidden" && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

// ask() returns whether work runs. A question that fails is asked again; report(error) gets it, then null.
export async function poll(signal, ask, report) {
  while (!signal.aborted) {
    let running = false;
    try {
      running = await ask();
      report(null);
    } catch (error) {
      if (signal.aborted || error.status === 401) return;
      report(error);
      running = error.passes;
    }
    await wait(running ? FAST_MS : SLOW_MS, signal);
    await shown(signal);
  }
}
