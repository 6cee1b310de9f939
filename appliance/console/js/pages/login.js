import { post } from "../api.js";
import { Page, html, nothing, notice } from "../page.js";

class Login extends Page {
  static properties = { reason: {} };

  async signIn({ key }) {
    try {
      this.dispatchEvent(new CustomEvent("signed-in", { detail: await post("/console/session", { key: key.trim() }) }));
      return true;
    } catch (error) {
      this.querySelector("input").select();
      throw error;
    }
  }

  view() {
    return html`<h1>Console</h1>
      <p class="soft">Sign in with an API key of this appliance. The key is sent once and not stored in the browser.</p>
      ${this.reason ? notice("warn", this.reason) : nothing}
      <form class="card" method="post" @submit=${this.sent((values) => this.signIn(values))}>
        <label class="field"><span>API key</span>
          <input type="password" name="key" autocomplete="current-password" required maxlength="200" spellcheck="false"></label>
        ${this.failure}
        <button class="main" ?disabled=${this.busy}>Sign in</button>
      </form>`;
  }

  firstUpdated() {
    this.querySelector("input").focus();
  }
}

customElements.define("console-login", Login);
