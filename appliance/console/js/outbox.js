// Changes that people made wait here until the appliance has them: through an outage, and through a reload.
import { send } from "./api.js";
import { wait } from "./poll.js";

export class Outbox extends EventTarget {
  constructor(name) {
    super();
    this.name = `outbox:${name}`;
    this.waiting = JSON.parse(localStorage.getItem(this.name) ?? "[]");
    this.deliver();
  }

  get size() {
    return this.waiting.length;
  }

  // A newer change of the same object takes the place of one that still waits, so each is sent once.
  put(method, path, body, name = path) {
    const busy = this.sending ? 1 : 0;
    this.waiting = this.waiting.filter((one, index) => index < busy || one.name !== name);
    this.waiting.push({ method, path, body, name });
    this.keep();
    this.deliver();
  }

  keep() {
    localStorage.setItem(this.name, JSON.stringify(this.waiting));
    this.dispatchEvent(new CustomEvent("change"));
  }

  async deliver() {
    if (this.sending) return;
    this.sending = true;
    for (let pause = 500; this.waiting.length; ) {
      const { method, path, body } = this.waiting[0];
      try {
        await send(method, path, { body });
        pause = 500;
      } catch (error) {
        if (error.passes) {
          this.dispatchEvent(new CustomEvent("late", { detail: error }));
          await wait(error.retrySeconds * 1000 || (pause = Math.min(2 * pause, 8000)));
          continue;
        }
        if (error.status === 401) break; // it goes on after the next sign-in
        // 404 of a deletion: it is gone, as it should be.
        if (!(method === "DELETE" && error.status === 404)) this.dispatchEvent(new CustomEvent("refused", { detail: error }));
      }
      this.waiting.shift();
      this.keep();
    }
    this.sending = false;
    if (!this.waiting.length) this.dispatchEvent(new CustomEvent("empty"));
  }
}
