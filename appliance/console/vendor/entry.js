// What scripts/vendor bundles into lit.js: all of Lit that the console uses.
export { LitElement, html, nothing } from "lit";
export { live } from "lit/directives/live.js";
export { repeat } from "lit/directives/repeat.js";
export { styleMap } from "lit/directives/style-map.js";
